// SPDX-License-Identifier: BSD-3-Clause
// What the hub does for those who wait for actors: detail/letter.hpp says who waits for what.
#include <cloister/detail/letter.hpp>
#include <cloister/internal/registry_record.hpp>

#include <algorithm>

namespace cloister::internal {

void registry::introduce(std::uint32_t by, const struct introduce& what) {
  auto* mailbox = find(what.mailbox);
  const auto* lane = find(what.lane);
  if (mailbox == nullptr || lane == nullptr || !lane->queue || !mailbox->holders.contains(by) ||
      (mailbox->options & actor_mailbox) == 0)
    return;
  if (!lane->has_role(by, detail::source_role)) return;
  auto& all = mailbox->askers;
  if (std::find(all.begin(), all.end(), what.lane) == all.end()) {
    std::erase_if(all, [this](std::uint64_t id) {
      const auto* other = find(id);
      return other == nullptr || other->queue->closed();
    });
    all.push_back(what.lane);
  }
  if (mailbox->over != 0) tell_lane(what.lane, *mailbox);
}

result<registry::redemption> registry::lane(std::uint32_t by, const get_lane& what) {
  const auto* mailbox = find(what.mailbox);
  const auto* lane = find(what.lane);
  if (mailbox == nullptr || lane == nullptr || !mailbox->has_role(by, detail::source_role) ||
      std::find(mailbox->askers.begin(), mailbox->askers.end(), what.lane) == mailbox->askers.end())
    return {errc::gone, "reply: whoever asked has ended"};
  redemption r{{what.lane, detail::no_role}, memory_of(what.lane)};
  if (!r.descriptor) return {errc::no_descriptors, "reply: the node's first process has no descriptor left"};
  return r;
}

std::vector<std::uint32_t> registry::takers(std::uint64_t mailbox) const {
  std::vector<std::uint32_t> all;
  if (const auto* r = find(mailbox)) {
    for (const auto& [who, h] : r->holders)
      if (h.roles[detail::source_role - 1]) all.push_back(who);
  }
  return all;
}

exit_status registry::last_exit(std::uint64_t mailbox) const {
  const auto* r = find(mailbox);
  return r == nullptr ? exit_status() : r->last_exit;
}

std::string registry::name_of(std::uint64_t object) const {
  const auto* r = find(object);
  return r == nullptr ? std::string() : std::string(r->name());
}

// A process that took from it has ended, as last_exit says, and what it had taken was put right.
void registry::actor_ended(record& mailbox) {
  mailbox.over = mailbox.queue->closed() ? mailbox.queue->next_position() : mailbox.queue->oldest_position();
  for (const auto lane : mailbox.askers) tell_lane(lane, mailbox);
}

// There is nobody who takes from it any more.
void registry::close_mailbox(record& mailbox) {
  if (!mailbox.last_exit.known()) mailbox.last_exit = exit_status::exited(0);  // it never ran
  if (const auto left = mailbox.queue->size(); left > 0) lost_.push_back({name_of(mailbox.id), left, mailbox.last_exit});
  mailbox.queue->close(detail::hub_actor, detail::close_mode::now);
  actor_ended(mailbox);
}

void registry::tell_lane(std::uint64_t lane, const record& mailbox) {
  encoder word;
  detail::write_head(word, detail::letter_head{detail::letter_kind::down, mailbox.id, mailbox.over, 0, 0});
  word.value(mailbox.last_exit);
  if (!delivered(lane, word.bytes())) untold_.emplace_back(lane, std::vector(word.bytes().begin(), word.bytes().end()));
}

}  // namespace cloister::internal

// SPDX-License-Identifier: BSD-3-Clause
// The hub's book of objects. The handles that travel inside messages are in pins.cpp.
#include <cloister/internal/registry_record.hpp>

#include <algorithm>

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace cloister::internal {

registry::registry(host& hub) : hub_(hub) {}
registry::~registry() = default;

registry::record* registry::find(std::uint64_t object) const {
  const auto found = objects_.find(object);
  return found == objects_.end() ? nullptr : found->second.get();
}

void registry::record::ring_bell(void* eventfd) noexcept {
  const auto& bell = *static_cast<const owned_fd*>(eventfd);
  // The processes that have it may fill it and make it block: one that takes nothing more is left alone.
  pollfd writable{bell.get(), POLLOUT, 0};
  if (!bell || ::poll(&writable, 1, 0) <= 0) return;
  const std::uint64_t one = 1;
  static_cast<void>(!::write(bell.get(), &one, sizeof one));
}

result<void> registry::create(std::uint32_t by, std::uint64_t object, std::uint32_t options, owned_fd memory) {
  if (object >> 32 != by || objects_.contains(object))
    return {errc::invalid, "create: an object number that is not the creator's to give"};
  auto r = std::make_unique<record>();
  r->id = object;
  r->options = options;
  r->maker = by;
  auto mapped = detail::memory::attach(std::move(memory), "object");
  if (!mapped) return mapped.error();
  const auto ringer = [&](unsigned which) { return detail::bell_ringer{&record::ring_bell, &r->bells[which]}; };
  if (detail::object_header::read(*mapped, detail::object_kind::arena)) {
    auto home = detail::arena::attach(*std::move(mapped));
    if (!home) return home.error();
    if ((*home)->id() != object) return {errc::invalid, "create: an arena that says it is another one"};
    arenas_[by].push_back(*std::move(home));
    return {};
  }
  if (const auto header = detail::object_header::read(*mapped, detail::object_kind::queue)) {
    auto attached = detail::slots::attach(*std::move(mapped), header->fingerprints[0]);
    if (!attached) return attached.error();
    r->queue = *std::move(attached);
    r->queue->set_ringers(ringer(0), ringer(1));
  } else {
    auto attached = detail::ring::attach(*std::move(mapped));
    if (!attached) return attached.error();
    r->pipe = *std::move(attached);
    for (const unsigned direction : {0U, 1U}) r->pipe->set_ringers(direction, ringer(2 * direction), ringer(2 * direction + 1));
  }
  r->holders[by].holds = 1;
  held_[by].push_back(object);
  objects_.emplace(object, std::move(r));
  return {};
}

result<small_object> registry::create_small(std::uint32_t by, const struct create_small& what, const service_entry& behind) {
  const auto mine = arenas_.find(by);
  if (what.object >> 32 != by || objects_.contains(what.object) || mine == arenas_.end())
    return {errc::invalid, "create: an object number that is not the creator's to give"};
  const auto& all = mine->second;
  const auto home = std::find_if(all.begin(), all.end(), [&](const auto& a) { return a->id() == what.arena; });
  if (home == all.end() || what.place >= (*home)->places() || !(*home)->claim(what.place))
    return {errc::invalid, "create: no such place, or one that is taken"};
  auto r = std::make_unique<record>();
  r->id = what.object;
  r->small = {what.object, *home, what.place};
  r->behind = &behind;
  r->holders[by].holds = 1;
  held_[by].push_back(what.object);
  return objects_.emplace(what.object, std::move(r)).first->second->small;
}

const service_entry* registry::called(std::uint32_t who, std::uint64_t object) {
  auto* r = find(object);
  if (r == nullptr) return nullptr;
  const auto h = r->holders.find(who);
  if (h == r->holders.end()) return nullptr;
  h->second.inherited = false;
  return r->behind;
}

bool registry::holds(std::uint32_t who, std::uint64_t object) const {
  const auto* r = find(object);
  return r != nullptr && r->holders.contains(who);
}

void registry::give(std::uint32_t by, std::uint32_t who, object_ref ref) {
  auto* r = find(ref.object);
  if (r == nullptr || !r->holders.contains(by)) return;
  auto& h = r->holders[who];
  if (h.holds == 0) {
    h.holds = 1;
    held_[who].push_back(ref.object);
  }
  h.inherited = false;
  use(who, ref);
}

void registry::use(std::uint32_t who, object_ref ref) {
  auto* r = find(ref.object);
  if (r == nullptr || ref.role == 0 || ref.role > 2) return;
  const auto h = r->holders.find(who);
  if (h == r->holders.end() || h->second.roles[ref.role - 1]) return;
  h->second.roles[ref.role - 1] = true;
  ++r->roles[ref.role - 1];
}

void registry::drop(std::uint32_t who, object_ref ref) {
  auto* r = find(ref.object);
  if (r == nullptr || ref.role > 2) return;
  const auto h = r->holders.find(who);
  if (h == r->holders.end()) return;
  if (ref.role == 0) {
    if (--h->second.holds == 0) {
      forget_holder(*r, who, nullptr, false);
      end_if_unused(ref.object);
    }
  } else if (h->second.roles[ref.role - 1]) {
    h->second.roles[ref.role - 1] = false;
    unuse_role(*r, ref.role, nullptr);
  }
}

void registry::leave(std::uint32_t who) {
  const auto list = held_.find(who);
  if (list == held_.end()) return;
  for (const auto object : std::vector(list->second)) {
    auto* r = find(object);
    if (r == nullptr || !r->holders.contains(who)) continue;
    forget_holder(*r, who, nullptr, false);
    end_if_unused(object);
  }
}

void registry::part(std::uint32_t who, object_ref ref, const exit_status& exit) {
  auto* r = find(ref.object);
  if (r == nullptr || ref.role == 0 || ref.role > 2) return;
  const auto h = r->holders.find(who);
  if (h == r->holders.end() || !std::exchange(h->second.roles[ref.role - 1], false)) return;
  r->last_exit = exit;
  unuse_role(*r, ref.role, exit.success() ? nullptr : &exit);
}

void registry::resume(std::uint32_t who, object_ref ref) {
  use(who, ref);
  auto* r = find(ref.object);
  if (r == nullptr || ref.role == 0 || !r->holders.contains(who)) return;
  if (r->pipe) r->pipe->set_end_state(ref.role - detail::end_a, detail::end_state::open);
  else if (r->queue && ref.role == detail::source_role && (r->options & actor_mailbox) != 0 && r->roles[ref.role - 1] == 1)
    r->queue->reopen();
}

void registry::copy_holds(std::uint32_t from, std::uint32_t to) {
  const auto list = held_.find(from);
  if (list == held_.end()) return;
  for (const auto object : std::vector(list->second)) {
    auto* r = find(object);
    if (r == nullptr || !r->holders.contains(from) || r->holders.contains(to)) continue;
    r->holders[to] = {.holds = 1, .inherited = true};
    held_[to].push_back(object);
  }
}

owned_fd registry::memory_of(std::uint64_t object) const {
  const auto* r = find(object);
  return r == nullptr ? owned_fd() : owned_fd(::fcntl(r->fd(), F_DUPFD_CLOEXEC, 3));
}

// One user of a role less. `died`: how, if it was a death.
void registry::unuse_role(record& r, unsigned role, const exit_status* died) {
  if (--r.roles[role - 1] > 0 || r.behind != nullptr) return;
  if (r.queue) {
    const auto when = role == detail::sink_role ? close_with_last_sink : close_with_source;
    if ((r.options & when) != 0)
      r.queue->close(detail::hub_actor, role == detail::sink_role ? detail::close_mode::drain : detail::close_mode::now);
    if (role == detail::source_role && (r.options & actor_mailbox) != 0) close_mailbox(r);
  } else {
    r.pipe->set_end_state(role - detail::end_a, died != nullptr ? detail::end_state::dead : detail::end_state::closed,
                          died != nullptr ? *died : exit_status{});
  }
}

// `died`: how, if it was a death. `dead`: it is dead, however it ended.
void registry::forget_holder(record& r, std::uint32_t who, const exit_status* died, bool dead) {
  const auto h = r.holders.find(who);
  for (unsigned role = 1; role <= 2; ++role) {
    if (h->second.roles[role - 1]) unuse_role(r, role, died);
  }
  const lost_object lost{r.id, h->second.inherited};
  r.holders.erase(h);
  if (r.behind != nullptr) hub_.small_left(*r.behind, lost, who, dead);
  auto& list = held_[who];
  std::erase(list, r.id);
  if (list.empty()) held_.erase(who);
}

void registry::end_if_unused(std::uint64_t object) {
  auto* r = find(object);
  if (r == nullptr || !r->holders.empty()) return;
  if (r->pinned > 0) {
    // Named by messages only: does any process hold a mailbox through which those can be reached? Mailboxes that only
    // name each other are unreachable.
    std::vector<record*> reachable;
    for (auto& [id, other] : objects_) {
      other->marked = !other->holders.empty();
      if (other->marked) reachable.push_back(other.get());
    }
    while (!reachable.empty()) {
      auto* from = reachable.back();
      reachable.pop_back();
      for (const auto& c : from->pins) {
        auto* to = find(c.ref.object);
        if (to != nullptr && !to->marked) {
          to->marked = true;
          reachable.push_back(to);
        }
      }
    }
    if (r->marked) return;
  }
  auto ended = std::move(objects_.extract(object).mapped());
  if (ended->behind != nullptr) hub_.small_removed(*ended->behind, object);
  for (auto& c : ended->pins) unpin(c);
}

void registry::bury(std::span<const dead_process> dead) {
  // Every mailbox that any of them was attached to, once, for all of them.
  std::vector<std::uint64_t> touched;
  for (const auto& d : dead) {
    if (const auto list = held_.find(d.incarnation); list != held_.end())
      touched.insert(touched.end(), list->second.begin(), list->second.end());
  }
  std::sort(touched.begin(), touched.end());
  touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
  for (const auto object : touched) {
    auto* r = find(object);
    if (r == nullptr) continue;
    std::vector<std::uint16_t> actors;
    for (const auto& d : dead) {
      if (r->holders.contains(d.incarnation)) actors.push_back(d.actor);
    }
    if (r->queue) static_cast<void>(r->queue->repair(actors));
    for (auto& c : r->pins) {
      if (std::any_of(dead.begin(), dead.end(), [&](const auto& d) { return d.incarnation == c.sender; })) sender_died(*r, c);
    }
  }
  for (const auto object : touched) {
    for (const auto& d : dead) {
      auto* r = find(object);
      if (r == nullptr || !r->holders.contains(d.incarnation)) continue;
      // A role whose owner left by itself is closed; one whose owner was killed or failed is down.
      const bool was_actor = (r->options & actor_mailbox) != 0 && r->has_role(d.incarnation, detail::source_role);
      const bool one_of_many = (r->options & many_takers) != 0;
      if (was_actor && (!one_of_many || r->maker == d.incarnation)) r->last_exit = d.exit;
      forget_holder(*r, d.incarnation, d.exit.success() ? nullptr : &d.exit, true);
      if (was_actor && !one_of_many && r->roles[detail::source_role - 1] > 0) actor_ended(*r);  // else it was the last, and forgotten so
    }
    if (auto* r = find(object); r != nullptr && !r->pins.empty()) sweep(*r);
    end_if_unused(object);
  }
  for (const auto& d : dead) arenas_.erase(d.incarnation);
}

void registry::look() {
  std::erase_if(untold_, [this](const auto& word) { return delivered(word.first, word.second); });
  const bool forget = ++looks_ % 4 == 0 && pin_count_ > 0;
  for (auto& [id, r] : objects_) {
    if (r->queue) r->queue->look();
    else if (r->pipe) r->pipe->look();
  }
  if (!forget) return;
  std::vector<std::uint64_t> carriers;
  for (auto& [id, r] : objects_) {
    if (!r->pins.empty()) carriers.push_back(id);
  }
  for (const auto id : carriers) {
    if (auto* r = find(id)) sweep(*r);
  }
}

result<owned_fd> registry::bell(std::uint32_t by, const get_bell& what) {
  auto* r = find(what.object);
  if (r == nullptr || !r->holders.contains(by) || what.which >= r->bells.size())
    return {errc::gone, "wait: the object no longer exists"};
  auto& bell = r->bells[what.which];
  if (!bell) bell = owned_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  auto copy = bell.duplicate();
  if (!copy) return {errc::no_descriptors, "wait: the node's first process has no descriptor left"};
  return copy;
}

result<void> registry::deliver(std::uint64_t queue, std::span<const std::byte> message) {
  auto* r = find(queue);
  if (r == nullptr || !r->queue) return {errc::gone, "exit notice: the queue no longer exists"};
  auto put = r->queue->put(detail::hub_actor, message, deadline::passed());
  if (!put) return put.error();
  return {};
}

bool registry::delivered(std::uint64_t queue, std::span<const std::byte> message) {
  const auto done = deliver(queue, message);
  return !(done == errc::would_block || done == errc::no_memory);
}

}  // namespace cloister::internal

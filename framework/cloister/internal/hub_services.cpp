// SPDX-License-Identifier: BSD-3-Clause
// The hub's part for small objects: it passes on, in order, what their supervisor actors have to know.
#include <cloister/internal/hub.hpp>

#include <cloister/log.hpp>

#include <memory>
#include <utility>

namespace cloister::internal {

service_user hub::user_of(const member& m) { return {{m.identity.incarnation, m.pid, m.name}, m.identity.actor}; }

void hub::tell_service(const service_entry& which, std::function<void(service&)> what) {
  const auto host = [&] {
    return service_host{living_,
                        [this, &which](std::vector<std::byte> report) {
                          post([&which, report = std::move(report)](hub& h) {
                            h.publish(h.watchers_[&which], [&](std::uint64_t) { return report; });
                          });
                        },
                        [this](std::uint32_t incarnation) -> past_process {
                          const auto m = members_.find(incarnation);
                          return m != members_.end() ? past_process{user_of(*m->second).process, {}} : past_of(incarnation);
                        }};
  };
  plane().tell(which, host, std::move(what));
}

void hub::watch_service(const member& from, const subscribe_service& what) {
  const auto* which = service_entry::find(what.service);
  if (which != nullptr && objects_.holds(from.identity.incarnation, what.queue.object))
    subscribe(watchers_[which], what.queue.object);
}

void hub::create_small_object(const member& from, const create_small& what) {
  const auto* behind = service_entry::find(what.service);
  if (behind == nullptr) throw failure(errc::undecodable, "an object of a kind that this program does not have");
  auto made = objects_.create_small(from.identity.incarnation, what, *behind);
  // Its maker may have been led astray by what others wrote into its arena: then that object is gone, and not the process.
  if (!made) return log_line(from, made.error().text());
  tell_service(*behind, [&made](service& s) { s.created(*made); });
}

answer hub::lend(member& from, const lend_cells& what, owned_fd block) {
  constexpr std::size_t most_blocks = 4096;  // 16 MiB
  if (what.number >= most_blocks) return refused{errc::no_memory, "too many threads of this process wait at the same time"};
  if (what.number != from.cells.size() && what.number + 1 != from.cells.size())
    throw failure(errc::undecodable, "cells out of order");
  auto mapped = detail::memory::attach(std::move(block), "wait cells");
  if (!mapped) return refused{mapped.error().code(), mapped.error().text()};
  auto cells = detail::cell_block::attach(*std::move(mapped));
  if (!cells) throw failure(errc::undecodable, cells.error().text());
  from.cells.resize(what.number);
  from.cells.push_back(*std::move(cells));
  return done{};
}

void hub::call_small(member& from, const small_call& what, datagram& d) {
  service::call call{user_of(from), what.object, what.what, {}, {}, what.a};
  if (what.cell != 0) {
    const auto n = what.cell - 1;
    if (n / detail::cell_block::cells >= from.cells.size()) throw failure(errc::undecodable, "a cell that was not lent");
    call.answer_in.block = from.cells[n / detail::cell_block::cells];
    call.answer_in.cell = &call.answer_in.block->cell(n % detail::cell_block::cells);
    call.answer_in.ticket = what.ticket;
  }
  if (!d.fds.empty()) call.answer_to = std::move(d.fds[0]);
  const auto* behind = objects_.called(from.identity.incarnation, what.object);
  if (behind == nullptr) {
    call.answer_in.refuse(errc::gone);
    if (call.answer_to) send_answer(call.answer_to, refused{errc::gone, "this object no longer exists"});
    return;
  }
  tell_service(*behind, [&call](service& s) { s.asked(std::move(call)); });
}

void hub::small_removed(const service_entry& behind, std::uint64_t object) {
  tell_service(behind, [object](service& s) { s.removed(object); });
}

void hub::small_left(const service_entry& behind, lost_object object, std::uint32_t who, bool died) {
  const auto m = members_.find(who);
  if (m == members_.end()) return;
  if (died) left_by_dead_[who][&behind].push_back(object);
  else tell_service(behind, [user = user_of(*m->second), object](service& s) { s.dropped(user, object.object); });
}

void hub::release_actor(std::uint16_t actor) {
  living_.reset(actor);
  free_actors_.push_back(actor);
}

void hub::tell_services_of_death(const dead_process& d) {
  const auto left = left_by_dead_.extract(d.incarnation);
  if (left.empty()) return;
  const auto user = user_of(*members_.at(d.incarnation));
  for (const auto& of : left.mapped()) tell_service(*of.first, [&](service& s) { s.died(user, d.exit, of.second); });
}

}  // namespace cloister::internal

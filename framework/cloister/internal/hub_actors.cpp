// SPDX-License-Identifier: BSD-3-Clause
// The hub's part for actors: which process one is, stopping it, hearing of its end, and what nobody could do anything with.
#include <cloister/actor.hpp>
#include <cloister/internal/hub.hpp>

#include <csignal>

namespace cloister::internal {

// The process that takes from that mailbox, if there is one and `from` has a handle.
hub::member* hub::actor_of(const member& from, std::uint64_t mailbox) {
  if (!objects_.holds(from.identity.incarnation, mailbox)) return nullptr;
  for (const auto taker : objects_.takers(mailbox)) {
    if (const auto m = members_.find(taker); m != members_.end()) return m->second.get();
  }
  return nullptr;
}

void hub::find_it(const member& from, const find_actor& what, const owned_fd& to) {
  actor_state state;
  if (const auto* m = actor_of(from, what.mailbox)) state.process = process_id{m->identity.incarnation, m->pid, m->name};
  state.exit = objects_.last_exit(what.mailbox);
  static_cast<void>(send_datagram(to.get(), encode(answer{state}), {}, deadline::passed()));
}

void hub::stop_it(const member& from, const stop_actor& what) {
  auto* m = actor_of(from, what.mailbox);
  if (m != nullptr) ask_to_end(*m);
}

void hub::monitor_it(const member& from, const monitor_actor& what) {
  if (!objects_.holds(from.identity.incarnation, what.queue.object)) return;
  auto* m = actor_of(from, what.mailbox);
  const monitor to{what.queue.object, what.letter, m != nullptr ? m->name : objects_.name_of(what.mailbox),
                   m != nullptr ? m->pid : 0};
  if (m != nullptr) add_monitor(*m, to);
  else notify(to, 0, objects_.last_exit(what.mailbox));
}

void hub::bury(const member& from, bury_letter& what) {
  dead_letter letter{objects_.name_of(what.mailbox), 1, std::move(what.why)};
  if (actor_of(from, what.mailbox) != &from) return;
  publish(letter);
}

void hub::publish(const dead_letter& letter) {
  publish(dead_letters_, [&](std::uint64_t) { return encode(letter); });
}

void hub::tell_dead_letters() {
  for (const auto& lost : objects_.take_lost()) {
    const dead_letter letter{lost.actor, lost.count, "the actor has ended: " + lost.exit.text()};
    publish(letter);
  }
}

}  // namespace cloister::internal

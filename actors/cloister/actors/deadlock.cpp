// SPDX-License-Identifier: BSD-3-Clause
// The text of a deadlock, and asking for them.
#include <cloister/actors/deadlock.hpp>

#include <cloister/actors/internal/sync_words.hpp>
#include <cloister/detail/membership.hpp>
#include <cloister/internal/control.hpp>

namespace cloister {

std::string deadlock::text() const {
  std::string line;
  for (const auto& p : circle) {
    const bool first = line.empty();
    line += (first ? "process '" : ", owned by process '") + p.process.name + "' (pid " + std::to_string(p.process.pid) +
            (first ? ") waits" : "), which waits") + " for mutex '" + p.waits_for + "'";
  }
  return line + ", which the first of them has";
}

void watch_deadlocks(const queue<deadlock>& to) {
  internal::datagram reply;
  internal::ask(
      detail::membership::require().control(),
      internal::subscribe_service{std::string(internal::sync_service()), {detail::object_of(to.handle()).id(), detail::no_role}},
      {}, reply);
}

}  // namespace cloister

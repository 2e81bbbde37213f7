// SPDX-License-Identifier: BSD-3-Clause
// What of actors needs no type.
#include <cloister/actor.hpp>

#include <cloister/detail/membership.hpp>
#include <cloister/internal/control.hpp>

namespace cloister {

void watch_dead_letters(const queue<dead_letter>& to) {
  internal::send_request(detail::membership::require().control(),
                         internal::subscribe_dead_letters{{detail::object_of(to.handle()).id(), detail::no_role}});
}

}  // namespace cloister

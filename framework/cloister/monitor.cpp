// SPDX-License-Identifier: BSD-3-Clause
// A monitor is a request to the hub.
#include <cloister/monitor.hpp>

#include <cloister/detail/membership.hpp>

namespace cloister {

void monitor(const process_id& who, const queue<exit_notice>& to) {
  detail::membership::require().monitor(who.incarnation, who.pid, who.name, {detail::object_of(to.handle()).id(), detail::no_role});
}

}  // namespace cloister

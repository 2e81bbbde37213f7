// SPDX-License-Identifier: BSD-3-Clause
// Monitors and links are requests to the hub.
#include <cloister/monitor.hpp>

#include <cloister/detail/membership.hpp>
#include <cloister/internal/control.hpp>

namespace cloister {
namespace {

void tie(const process_id& who, bool linked) {
  auto& self = detail::membership::require();
  if (self.id().incarnation == 1 || who.incarnation == 1 || who.incarnation == 0)
    throw failure(errc::invalid, "link: of two processes, of which none is the node's first: with that one all others end");
  internal::datagram reply;
  internal::ask(self.control(), internal::link_processes{who.incarnation, who.pid, who.name, linked}, {}, reply);
}

}  // namespace

void monitor(const process_id& who, const queue<exit_notice>& to) {
  detail::membership::require().monitor(who.incarnation, who.pid, who.name, {detail::object_of(to.handle()).id(), detail::no_role});
}

void demonitor(const process_id& who, const queue<exit_notice>& to) {
  internal::send_request(detail::membership::require().control(),
                         internal::end_monitor{who.incarnation, {detail::object_of(to.handle()).id(), detail::no_role}});
}

void link(const process_id& who) { tie(who, true); }
void unlink(const process_id& who) { tie(who, false); }

}  // namespace cloister

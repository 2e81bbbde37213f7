// SPDX-License-Identifier: BSD-3-Clause
#include <cloister/detail/lanes.hpp>

#include <cloister/detail/letter.hpp>
#include <cloister/detail/membership.hpp>
#include <cloister/detail/slots.hpp>
#include <cloister/internal/control.hpp>

namespace cloister::detail {

std::shared_ptr<attachment> lanes::find(std::uint64_t id) {
  if (const auto known = known_.find(id); known != known_.end()) return known->second;
  auto& here = membership::require();
  auto found = here.find(id);  // of this very process
  const auto is_lane = [](const attachment& a) { return a.kind() == object_kind::queue && a.fingerprint() == lane_fingerprint; };
  if (found && id != mailbox_.id() && !is_lane(*found)) throw failure(errc::gone, "reply: that is no lane");
  if (!found) {
    std::erase_if(known_, [](const auto& l) { return l.second->queue().closed(); });
    internal::datagram reply;
    const auto got = internal::ask(here.control(), internal::get_lane{mailbox_.id(), id}, {}, reply);
    if (!std::holds_alternative<internal::redeemed>(got) || reply.fds.empty())
      throw failure(errc::no_descriptors, "reply: no descriptor left");
    found = here.attach(id, std::move(reply.fds.front()));
  }
  return known_.emplace(id, std::move(found)).first->second;
}

}  // namespace cloister::detail

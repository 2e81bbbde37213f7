// SPDX-License-Identifier: BSD-3-Clause
// The audit: hints, laps, leases and chunks compared with each other.
#include <cloister/detail/slots.hpp>

#include <algorithm>

namespace cloister::detail {

result<void> slots::audit() {
  auto& s = layout_.shared();
  const auto& g = layout_.geometry();
  const auto lie = [&](const std::string& what) -> result<void> {
    mark_broken();
    return cloister::error(errc::broken, "queue '" + std::string(header_.name_view()) + "' audit: " + what);
  };
  const auto status = s.status.load(std::memory_order_seq_cst);
  if (status & status_broken) return fail("audit", errc::broken);
  const unsigned first = chain_.get_ring();
  const unsigned last = chain_.put_ring();
  const unsigned reserved = s.rings.load(std::memory_order_acquire);
  if (first > last || last > reserved || reserved >= g.rings) return lie("the rings are out of order");
  if (s.chunk_top.load() > g.chunks) return lie("more chunks than there can be");
  if (s.lease_levels.load() >= g.lease_levels) return lie("more lease entries than there can be");
  for (unsigned r = first; r <= last; ++r) {
    if (s.bases[r].load(std::memory_order_acquire) == 0) return lie("a ring in use has no base");
    const auto n = g.slots_in(r);
    const auto tail = s.ring[r].tail.load(std::memory_order_acquire);
    const auto head = s.ring[r].head.load(std::memory_order_acquire);  // after tail: it only grows
    // Hints may lag, in either direction, by the number of actors.
    if (static_cast<std::int64_t>(tail - head) > static_cast<std::int64_t>(n + 65536)) return lie("a tail is ahead of its ring");
    if (static_cast<std::int64_t>(head - tail) > static_cast<std::int64_t>(n + 65536) && s.ring[r].tail.load() == tail) return lie("a head is ahead of its tail");
    for (std::uint64_t i = 0; i < n; ++i) {
      const slot_place p{r, head + i};
      const auto w = chain_.word(p);
      if (chain_.get_ring() > r) break;
      const auto ahead = w.laps_after(layout_.lap(p));
      const auto now = s.ring[r].head.load(std::memory_order_acquire);
      if (now == head && (ahead < 0 || ahead > 1)) return lie("a slot is of an impossible lap");
      if (w.state() > slot_state::sealed) return lie("a slot is in an impossible state");
      const bool owned = w.state() == slot_state::writing || w.state() == slot_state::taken || w.state() == slot_state::leased;
      if (owned == (w.owner() == no_actor)) return lie("a slot has an impossible owner");
    }
  }
  for (std::uint32_t i = 0, n = leases_.size(); i < n; ++i) {
    const auto w = leases_.word(i);
    if (w.state() > lease_state::dead_taken) return lie("a lease is in an impossible state");
    if (w.state() == lease_state::free && w.raw != 0) return lie("a free lease has an owner");
  }
  for (std::uint32_t i = 0, n = chunks_.top(); i < n; ++i) {
    const chunk_word w{layout_.chunk(i).word.load(std::memory_order_acquire)};
    if (w.state() > chunk_state::reserving) return lie("a chunk is in an impossible state");
  }
  return {};
}

}  // namespace cloister::detail

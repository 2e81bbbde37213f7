// SPDX-License-Identifier: BSD-3-Clause
// The consumer's side of the chain: walking over the positions, oldest first.
#include <cloister/detail/slots_chain.hpp>

#include <algorithm>

namespace cloister::detail {
namespace {

constexpr std::uint64_t long_walk = 32;
constexpr unsigned cursor_ring_shift = 56;
constexpr std::uint64_t cursor_at_mask = (std::uint64_t{1} << cursor_ring_shift) - 1;

}  // namespace

slots_chain::found slots_chain::next_ready(slots_walk& walk, slot_place& place, slot_word& word) {
  return walk_on(walk, place, word, true);
}

slots_chain::found slots_chain::next_used(slots_walk& walk, slot_place& place, slot_word& word) {
  return walk_on(walk, place, word, false);
}

void slots_chain::begin(slots_walk& walk) {
  const auto epoch = walk.epoch;
  walk = {};
  walk.epoch = epoch;
  walk.started = true;
  walk.first_ring = get_ring();
  if (walk.first_ring >= layout_.geometry().rings) return;
  walk.next = {walk.first_ring, layout_.shared().ring[walk.first_ring].head.load(std::memory_order_acquire)};
  if (epoch == slots_walk::no_epoch || cursor_epoch_.load() != epoch) [[likely]]
    return;
  const auto place = cursor_place_.load();
  const slot_place cursor{static_cast<unsigned>(place >> cursor_ring_shift), place & cursor_at_mask};
  if (cursor_epoch_.load() != epoch) return;  // changed while we read it
  if (cursor.ring > walk.next.ring || (cursor.ring == walk.next.ring && cursor.at > walk.next.at)) {
    walk.next = cursor;
    walk.skipped = true;
  }
}

void slots_chain::remember(const slots_walk& walk) {
  if (walk.epoch == slots_walk::no_epoch || cursor_busy_.exchange(true)) return;
  const slot_place p = walk.writing.value_or(walk.next);  // what is being written will be ready, and nobody will say so
  cursor_epoch_.store(slots_walk::no_epoch);
  cursor_place_.store(static_cast<std::uint64_t>(p.ring) << cursor_ring_shift | (p.at & cursor_at_mask));
  cursor_epoch_.store(walk.epoch);
  cursor_busy_.store(false);
}

slots_chain::found slots_chain::walk_on(slots_walk& walk, slot_place& place, slot_word& seen, bool only_ready) {
  const auto& g = layout_.geometry();
  auto& s = layout_.shared();
  if (!walk.started) begin(walk);
  if (walk.first_ring >= g.rings) return found::broken;
  unsigned consumed = 0;
  for (;;) {
    slot_place& p = walk.next;
    // Longer than the ring only if others consume faster than we look.
    if (++walk.steps > 2 * g.slots_in(p.ring) + 64) return found::again;
    ++walk.all_steps;
    const auto lap = layout_.lap(p);
    seen = word(p);
    const auto newer = seen.laps_after(lap);
    if (newer > 0) {
      ++p.at;
      if (++consumed % (2 * head_step) == 0) help_head(p.ring);
      continue;
    }
    if (newer < 0) {
      if (get_ring() != walk.first_ring) return found::again;
      return word(p).raw == seen.raw ? found::broken : found::again;
    }
    switch (seen.state()) {
      case slot_state::free:
        // The end, unless these pages were given back under our eyes.
        place = p;
        if (get_ring() != walk.first_ring) return found::again;
        if (walk.all_steps > long_walk) [[unlikely]]
          remember(walk);
        return found::end;
      case slot_state::sealed: {
        if (p.ring + 1 >= g.rings) return found::broken;
        if (s.bases[p.ring + 1].load(std::memory_order_acquire) == 0) follow_seal(p);
        if (p.ring == walk.first_ring && retire(p.ring)) walk.first_ring = p.ring + 1;
        walk.next = {p.ring + 1, s.ring[p.ring + 1].head.load(std::memory_order_acquire)};
        walk.steps = 0;
        continue;
      }
      case slot_state::ready:
        if (only_ready && walk.writing) {
          // A put that returned before this message's put began may have committed behind our back.
          if (const auto earlier = earlier_ready(*walk.writing, p, seen)) {
            place = *earlier;
            return found::ready;
          }
          seen = word(p);
          if (seen.state() != slot_state::ready || seen.laps_after(lap) != 0) continue;
        }
        place = p;
        if (only_ready) layout_.prefetch({p.ring, p.at + 3});
        if (!only_ready) ++p.at;
        else if (walk.all_steps > long_walk) [[unlikely]] remember(walk);
        return found::ready;
      case slot_state::writing:
        if (!walk.writing) walk.writing = p;
        fault_point("get", 9);
        [[fallthrough]];
      case slot_state::taken:
      case slot_state::leased:
        walk.skipped = true;
        place = p;
        ++p.at;
        if (!only_ready) return found::ready;
        continue;
      default: return found::broken;
    }
  }
}

std::optional<slot_place> slots_chain::earlier_ready(slot_place from, slot_place to, slot_word& seen) const {
  const auto& g = layout_.geometry();
  for (std::uint64_t steps = 0; from.ring < to.ring || (from.ring == to.ring && from.at < to.at); ++steps) {
    if (steps > 2 * g.slots_in(to.ring) + 64) return std::nullopt;
    seen = word(from);
    if (seen.laps_after(layout_.lap(from)) == 0) {
      if (seen.state() == slot_state::ready) return from;
      if (seen.state() == slot_state::sealed || seen.state() == slot_state::free) {  // free: given back; nothing there
        if (from.ring >= to.ring) return std::nullopt;  // no correct process seals or frees before what is ready
        from = {from.ring + 1, layout_.shared().ring[from.ring + 1].head.load(std::memory_order_acquire)};
        continue;
      }
    }
    ++from.at;
  }
  return std::nullopt;
}

}  // namespace cloister::detail

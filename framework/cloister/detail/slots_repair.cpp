// SPDX-License-Identifier: BSD-3-Clause
// What the hub does: putting right what the dead held, looking in now and then, giving memory back.
//
// Order of a repair: lease entries, slots, chunks, then wake everybody. Entries before slots, or a message that was on
// its way from its slot to the table would have two holders; slots before chunks, or the chunks of a half-written
// message would still belong to a position that is not yet given up. Every change is one CAS from a value that names the
// dead owner, so a repair that was itself killed is simply run again. The hub's own id counts as dead: what it holds
// when a repair begins is left over from such a one.
#include <cloister/detail/slots.hpp>

#include <algorithm>

namespace cloister::detail {
namespace {

bool contains(std::span<const actor_id> dead, actor_id who) {
  return who == hub_actor || (who != no_actor && std::find(dead.begin(), dead.end(), who) != dead.end());
}

}  // namespace

repair_report slots::repair(std::span<const actor_id> dead) {
  repair_report report;
  repair_leases(dead, report);
  fault_point("repair", 2);
  repair_slots(dead, report);
  fault_point("repair", 4);
  repair_chunks(dead, report);
  fault_point("repair", 6);
  chain_.punch_passed();
  auto& s = layout_.shared();
  s.torn.fetch_add(report.torn, std::memory_order_relaxed);
  s.redelivered.fetch_add(report.requeued + report.returned, std::memory_order_relaxed);
  s.buried.fetch_add(report.buried, std::memory_order_relaxed);
  s.epoch.fetch_add(1, std::memory_order_seq_cst);
  fault_point("repair", 7);
  if (s.status.load(std::memory_order_seq_cst) & status_now) discard(hub_actor);
  wake_all();
  fault_point("repair", 8);
  return report;
}

void slots::repair_leases(std::span<const actor_id> dead, repair_report& report) {
  const auto limit = layout_.geometry().max_deliveries;
  for (std::uint32_t i = 0, n = leases_.size(); i < n; ++i) {
    const auto w = leases_.word(i);
    if (!contains(dead, w.owner())) continue;
    // Still in its slot as well: the slot's word decides, and gives it back below.
    const auto in_slot_too = [&] {
      const auto p = chain_.place_of(leases_.at(i).position.load(std::memory_order_relaxed));
      if (!p || p->ring < chain_.get_ring()) return false;
      const auto slot = chain_.word(*p);
      return slot.laps_after(layout_.lap(*p)) == 0 &&
             (slot.is(slot_state::taken, w.owner()) || slot.is(slot_state::leased, w.owner()));
    };
    lease_word to{};
    unsigned* count = nullptr;
    switch (w.state()) {
      case lease_state::filling: break;
      case lease_state::held: {
        if (in_slot_too()) break;
        const unsigned times = std::min(w.redelivered() + 1, slot_word::most_redeliveries);
        const bool last = limit != 0 && times >= limit;
        to = lease_word::make(last ? lease_state::dead : lease_state::returned, times, no_actor, w.tag());
        count = last ? &report.buried : &report.returned;
        break;
      }
      case lease_state::dead:
        if (!in_slot_too()) to = lease_word::make(lease_state::dead, w.redelivered(), no_actor, w.tag());
        break;
      case lease_state::dead_taken: to = lease_word::make(lease_state::dead, w.redelivered(), no_actor, w.tag()); break;
      default: mark_broken(); continue;
    }
    if (!leases_.change(i, w, to)) mark_broken();
    if (count != nullptr) ++*count;
    fault_point("repair", 1);
  }
}

void slots::repair_slots(std::span<const actor_id> dead, repair_report& report) {
  const auto& g = layout_.geometry();
  const auto repair_one = [&](slot_place p) {
    auto& word = layout_.slot(p).word;
    auto w = chain_.word(p);
    if (contains(dead, w.owner())) {
      const unsigned times = std::min(w.redelivered() + 1, slot_word::most_redeliveries);
      const bool half_written = w.state() == slot_state::writing;
      const auto to =
          half_written ? slot_word::make(w.lap() + 1, slot_state::free) : slot_word::make(w.lap(), slot_state::ready, times);
      if (!word.compare_exchange_strong(w.raw, to.raw, std::memory_order_seq_cst)) mark_broken();
      ++(half_written ? report.torn : report.requeued);
      fault_point("repair", 3);
      w = to;
    }
    // Delivered too often: out of the way, also if no consumer is left.
    if (g.max_deliveries == 0 || w.state() != slot_state::ready || w.redelivered() < g.max_deliveries) return;
    const auto mine = slot_word::make(w.lap(), slot_state::taken, w.redelivered(), hub_actor);
    auto was = w.raw;
    if (!word.compare_exchange_strong(was, mine.raw, std::memory_order_seq_cst)) return;
    taken t;
    if (accept_slot(hub_actor, p, mine, t) == outcome::done && !bury(p, hub_actor, mine.redelivered(), t))
      word.store(w.raw, std::memory_order_release);
    t.from_ = nullptr;
  };
  // Each ring by itself, to its end: a walk along the chain would stop short where a ring gives its pages back meanwhile.
  const unsigned last = std::min(layout_.shared().rings.load(std::memory_order_acquire), g.rings - 1);
  for (unsigned r = std::min(chain_.get_ring(), last); r <= last; ++r) {
    slot_place p{r, layout_.shared().ring[r].head.load(std::memory_order_acquire)};
    for (std::uint64_t i = 0; i < g.slots_in(r); ++i, ++p.at) {
      const auto w = chain_.word(p);
      const auto newer = w.laps_after(layout_.lap(p));
      // Claims leave no gaps, and nothing dead can hold what was claimed after this began.
      if (newer <= 0 && (w.state() == slot_state::free || w.state() == slot_state::sealed)) break;
      repair_one({r, p.at + static_cast<std::uint64_t>(std::max<std::int64_t>(newer, 0)) * g.slots_in(r)});  // head may lag
    }
  }
}

void slots::repair_chunks(std::span<const actor_id> dead, repair_report& report) {
  struct candidate {
    std::uint32_t index;
    std::uint64_t position;  // 45 bits
  };
  std::vector<candidate> candidates;
  const auto next = chain_.tail_hint();
  const auto free_it = [&](std::uint32_t i, chunk_word from, chunk_word to) {
    if (!layout_.chunk(i).word.compare_exchange_strong(from.raw, to.raw, std::memory_order_seq_cst)) return false;
    ++report.chunks;
    fault_point("repair", 5);
    return true;
  };
  for (std::uint32_t i = 0, n = chunks_.top(); i < n; ++i) {
    const chunk_word w{layout_.chunk(i).word.load(std::memory_order_acquire)};
    switch (w.state()) {
      case chunk_state::owned:
        if (contains(dead, w.owner()))
          free_it(i, w, w.owner() == hub_actor ? chunk_word::make(chunk_state::absent, 0) : chunk_word{});
        break;
      case chunk_state::reserving:
        if (contains(dead, w.owner())) free_it(i, w, chunk_word::make(chunk_state::absent, 0));
        break;
      case chunk_state::in: {
        // The word has 45 bits of the position; the rest is that of the present.
        constexpr std::uint64_t slack = std::uint64_t{1} << 32;  // the hint may lag
        const auto back = (next + slack - w.position()) & chunk_word::position_mask;
        if (back < chunk_word::position_mask / 2 && !in_ring(next + slack - back)) candidates.push_back({i, w.position()});
        break;
      }
      default: break;
    }
  }
  if (candidates.empty()) return;
  // Slots first, the table second: a message moves only that way. What is still `filling` is in its slot as well.
  std::vector<std::uint64_t> leased;
  for (std::uint32_t i = 0, n = leases_.size(); i < n; ++i) {
    const auto state = leases_.word(i).state();
    if (state != lease_state::free && state != lease_state::filling)
      leased.push_back(leases_.at(i).position.load(std::memory_order_relaxed) & chunk_word::position_mask);
  }
  std::sort(leased.begin(), leased.end());
  bool freed = false;
  for (const auto& c : candidates)
    if (!std::binary_search(leased.begin(), leased.end(), c.position))
      freed = free_it(c.index, chunk_word::in(c.position), {}) || freed;
  if (freed) layout_.shared().chunk_low.store(0, std::memory_order_relaxed);
}

void slots::look() {
  auto& s = layout_.shared();
  const auto status = s.status.load(std::memory_order_seq_cst);
  if (status & status_now) discard(hub_actor);
  const bool ready = !empty();
  if (ready) s.epoch.fetch_add(1, std::memory_order_seq_cst);  // a giver-back may have been stopped before it said so
  // Not only if there are sleepers: who polls a bell announces nothing.
  if (ready || (status & status_closed)) s.ready.nudge(ready_ringer_);
  if (!full()) s.vacant.nudge(vacant_ringer_);
  if (s.chunk_room.has_sleepers()) s.chunk_room.nudge();
  if (s.settled.has_sleepers() && (!unfinished() || leases_.oldest(lease_state::dead))) s.settled.nudge();
  chain_.consumed_before();  // passes drained rings
  trim();
}

// When the queue has been empty at two looks running, chunks beyond the first few give their memory back.
void slots::trim() {
  constexpr std::uint32_t keep = 64;
  const std::uint32_t top = chunks_.top();
  if (top <= keep || !empty()) {
    trim_next_ = false;
    return;
  }
  if (!std::exchange(trim_next_, true)) return;
  const auto mine = chunk_word::make(chunk_state::owned, hub_actor).raw;
  std::uint32_t end = top;
  while (end > keep) {
    std::uint32_t first = end;
    while (first > keep) {
      std::uint64_t expected = 0;
      if (!layout_.chunk(first - 1).word.compare_exchange_strong(expected, mine, std::memory_order_seq_cst)) break;
      --first;
    }
    if (first < end) {
      layout_.mapping().release(layout_.geometry().chunks_at + std::size_t{first} * slots_geometry::chunk_bytes,
                                std::size_t{end - first} * slots_geometry::chunk_bytes);
      for (std::uint32_t i = first; i < end; ++i) layout_.chunk(i).word.store(chunk_word::make(chunk_state::absent, 0).raw);
      end = first;
    } else {
      --end;
    }
  }
}

}  // namespace cloister::detail

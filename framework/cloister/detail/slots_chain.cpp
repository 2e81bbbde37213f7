// SPDX-License-Identifier: BSD-3-Clause
// The producer's side of the chain: claiming, making room, growing, passing drained rings.
#include <cloister/detail/slots_chain.hpp>

#include <algorithm>

namespace cloister::detail {
namespace {

// Raises `hint` from `from` to `to` unless it has moved; returns where it is now, at least `to`.
std::uint64_t raise(std::atomic<std::uint64_t>& hint, std::uint64_t from, std::uint64_t to) {
  auto seen = from;
  if (hint.compare_exchange_strong(seen, to, std::memory_order_seq_cst)) return to;
  return std::max(seen, to);
}

}  // namespace

slots_chain::claim_result slots_chain::claim(actor_id me, std::uint32_t want) {
  auto& s = layout_.shared();
  std::uint64_t steps = 0;
  for (;;) {
    slot_place p{put_ring(), 0};
    if (p.ring >= layout_.geometry().rings) return {claim_status::broken};
    auto& tail = s.ring[p.ring].tail;
    p.at = tail.load(std::memory_order_acquire);
    for (;;) {
      if (++steps > 4 * layout_.geometry().slots_in(p.ring) + 4096) return {claim_status::broken};
      const auto lap = layout_.lap(p);
      auto& word = layout_.slot(p).word;
      slot_word seen{word.load(std::memory_order_acquire)};
      const auto newer = seen.laps_after(lap);
      if (newer == 0 && seen.state() == slot_state::free) {
        if (position(p) >= room_until_.load(std::memory_order_relaxed)) {
          const auto m = make_room(p);
          if (m == more::full) return {claim_status::full};
          if (m == more::no_memory) return {claim_status::no_memory};
          if (put_ring() != p.ring) break;
          p.at = std::max(p.at, tail.load(std::memory_order_acquire));
          continue;
        }
        fault_point("put", 1);
        const auto mine = slot_word::make(lap, slot_state::writing, 0, me).raw;
        if (!word.compare_exchange_strong(seen.raw, mine, std::memory_order_seq_cst)) continue;
        if (get_ring() > p.ring) {  // pages that were given back: nobody looks there any more
          seen.raw = mine;
          word.compare_exchange_strong(seen.raw, slot_word::make(lap, slot_state::free).raw, std::memory_order_seq_cst);
          break;
        }
        fault_point("put", 2);
        std::uint32_t count = 1;
        for (; count < want; ++count) {
          const slot_place q{p.ring, p.at + count};
          std::uint64_t expected = slot_word::make(layout_.lap(q), slot_state::free).raw;
          if (position(q) >= room_until_.load(std::memory_order_relaxed)) break;
          if (!layout_.slot(q).word.compare_exchange_strong(expected,
                                                            slot_word::make(layout_.lap(q), slot_state::writing, 0, me).raw))
            break;
        }
        auto end = p.at;
        while (end < p.at + count && !tail.compare_exchange_weak(end, p.at + count, std::memory_order_seq_cst)) {}
        fault_point("put", 3);
        layout_.prefetch({p.ring, p.at + count + 3});
        return {claim_status::claimed, p, count};
      }
      if (newer == 0 && seen.state() == slot_state::sealed) {
        follow_seal(p);
        break;
      }
      if (newer >= 0) {
        p.at = std::max(raise(tail, p.at, p.at + 1), tail.load(std::memory_order_acquire));
        continue;
      }
      // A message of the lap before, where room was seen: only if we look at an old end, or at pages given back.
      if (get_ring() > p.ring) break;
      const auto now = tail.load(std::memory_order_acquire);
      if (now == p.at && word.load(std::memory_order_acquire) == seen.raw) return {claim_status::broken};
      p.at = now;
    }
  }
}

void slots_chain::await_room(deadline until, std::uint64_t most) const {
  const unsigned r = put_ring();
  if (r >= layout_.geometry().rings) return;
  if (most == 0) most = layout_.geometry().max_items == 0 ? layout_.geometry().slots_in(r) : layout_.geometry().max_items;
  await_batch(layout_.shared().ring[r].head, std::min<std::uint64_t>(64, most / 4), until);
}

std::uint64_t slots_chain::help_head(unsigned r) {
  auto& head = layout_.shared().ring[r].head;
  const std::uint64_t from = head.load(std::memory_order_acquire);
  std::uint64_t h = from;
  const std::uint64_t most = from + layout_.geometry().slots_in(r);
  for (; h <= most; ++h) {
    const slot_place p{r, h};
    if (word(p).laps_after(layout_.lap(p)) <= 0) break;
  }
  return h == from ? h : std::max(raise(head, from, h), h);
}

std::uint64_t slots_chain::consumed_before() {
  unsigned g = std::min(get_ring(), layout_.geometry().rings - 1);
  while (retire(g)) ++g;
  return base(g) + help_head(g);
}

bool slots_chain::looks_drained() {
  const unsigned r = put_ring();
  if (r >= layout_.geometry().rings || (get_ring() != r && consumed_before() < base(r))) return false;
  const slot_place p{r, help_head(r)};
  const auto w = word(p);
  return (w.state() == slot_state::free || w.state() == slot_state::sealed) && w.laps_after(layout_.lap(p)) == 0;
}

slots_chain::limits slots_chain::limits_of(unsigned ring) {
  const auto& g = layout_.geometry();
  const std::uint64_t in_ring = base(ring) + help_head(ring) + g.slots_in(ring) - 1;
  return {in_ring, g.max_items == 0 ? in_ring + g.max_bytes : consumed_before() + g.max_items};
}

bool slots_chain::full() {
  const auto& g = layout_.geometry();
  const unsigned r = std::min(put_ring(), g.rings - 1);
  slot_place end{r, layout_.shared().ring[r].tail.load(std::memory_order_acquire)};
  // The hint lags behind those who were stopped between a claim and raising it.
  for (std::uint64_t steps = 0; steps < g.slots_in(r); ++steps, ++end.at) {
    const auto w = word(end);
    const auto newer = w.laps_after(layout_.lap(end));
    if (newer < 0 || (newer == 0 && (w.state() == slot_state::free || w.state() == slot_state::sealed))) break;
  }
  const auto limit = limits_of(r);
  return position(end) >= limit.items || (position(end) >= limit.ring && r + 1 >= g.rings);
}

slots_chain::more slots_chain::make_room(slot_place end) {
  const auto& g = layout_.geometry();
  // Consumers that keep up make room within a moment, and then the queue stays small and in cache.
  for (int patience = spin_budget::cpus() > 1 ? 64 : 1;; --patience) {
    const auto limit = limits_of(end.ring);
    room_until_.store(std::min(limit.ring, limit.items), std::memory_order_relaxed);
    if (limit.room_for(position(end))) return more::again;
    if (position(end) >= limit.items || end.ring + 1 >= g.rings) return more::full;
    if (patience <= 1) break;
    cpu_relax();
  }
  return grow(end);
}

slots_chain::more slots_chain::grow(slot_place end) {
  const auto& g = layout_.geometry();
  auto& s = layout_.shared();
  const unsigned next = end.ring + 1;
  if (std::uint32_t seen = s.rings.load(std::memory_order_acquire); seen < next) {
    if (!layout_.mapping().try_reserve(g.ring_at(next), g.ring_bytes(next))) return more::no_memory;
    fault_point("grow", 1);
    s.rings.compare_exchange_strong(seen, next, std::memory_order_seq_cst);
    fault_point("grow", 2);
    if (get_ring() > next) punch(next);  // we slept; it was all over long ago
  }
  auto free = slot_word::make(layout_.lap(end), slot_state::free).raw;
  const auto sealed = slot_word::make(layout_.lap(end), slot_state::sealed).raw;
  if (layout_.slot(end).word.compare_exchange_strong(free, sealed, std::memory_order_seq_cst) || free == sealed) {
    fault_point("grow", 3);
    if (get_ring() <= end.ring) follow_seal(end);
  }
  return more::again;
}

void slots_chain::follow_seal(slot_place sealed) {
  auto& s = layout_.shared();
  const unsigned next = sealed.ring + 1;
  if (next >= layout_.geometry().rings) return;
  std::uint64_t unknown = 0;
  s.bases[next].compare_exchange_strong(unknown, s.bases[sealed.ring].load(std::memory_order_relaxed) + sealed.at,
                                        std::memory_order_seq_cst);
  fault_point("grow", 4);
  std::uint32_t here = sealed.ring;
  s.put_ring.compare_exchange_strong(here, next, std::memory_order_seq_cst);
  fault_point("grow", 5);
}

bool slots_chain::retire(unsigned r) {
  if (r + 1 >= layout_.geometry().rings || r != get_ring()) return false;
  const slot_place p{r, help_head(r)};
  const auto w = word(p);
  if (w.state() != slot_state::sealed || w.laps_after(layout_.lap(p)) != 0) return r < get_ring();
  follow_seal(p);
  std::uint32_t here = r;
  if (!layout_.shared().get_ring.compare_exchange_strong(here, r + 1, std::memory_order_seq_cst)) return true;
  fault_point("grow", 6);
  punch(r);
  fault_point("grow", 7);
  return true;
}

void slots_chain::punch(unsigned r) { layout_.mapping().release(layout_.geometry().ring_at(r), layout_.geometry().ring_bytes(r)); }

void slots_chain::punch_passed() {
  const unsigned passed = std::min(get_ring(), layout_.geometry().rings - 1);
  for (unsigned r = 0; r < passed; ++r) punch(r);
}

void slots_chain::free(slot_place p) {
  const auto next = slot_word::make(layout_.lap(p) + 1, slot_state::free).raw;
  layout_.slot(p).word.store(next, std::memory_order_release);
  fault_point("get", 5);
  if (p.at % head_step == head_step - 1) help_head(p.ring);
  fault_point("get", 6);
}

std::optional<slot_place> slots_chain::place_of(std::uint64_t position) const {
  for (unsigned r = std::min(put_ring(), layout_.geometry().rings - 1);; --r) {
    const auto stored = layout_.shared().bases[r].load(std::memory_order_acquire);
    if (stored != 0 && static_cast<std::int64_t>(position - (stored - 1)) >= 0) return slot_place{r, position - (stored - 1)};
    if (r == 0) return std::nullopt;
  }
}

}  // namespace cloister::detail

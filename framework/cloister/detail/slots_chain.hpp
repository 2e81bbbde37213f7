// SPDX-License-Identifier: BSD-3-Clause
// The chain of rings: claiming the next position, walking over the positions that may hold a message, growing.
//
// Positions are claimed without gaps, so the first FREE slot of the last ring is the end of the queue. A ring keeps one
// slot free; when only that one is left it is SEALED, and the queue goes on in the next ring, twice as large. Each ring
// is used once; a drained one gives its pages back, and then reads as zeroes: a claim there (by a process that slept
// since) is recognised by `get_ring` having passed that ring, for a ring with an unconsumed claim is never passed.
//
// Threads and processes: any number. Nothing here waits; loops are bounded by the number of slots.
#pragma once

#include <cloister/deadline.hpp>
#include <cloister/detail/slots_layout.hpp>

#include <atomic>
#include <cstdint>
#include <optional>

namespace cloister::detail {

/// A pass over all positions, oldest first.
struct slots_walk {
  unsigned first_ring = 0;
  slot_place next;
  std::optional<slot_place> writing;  // the first slot skipped because it is being written
  bool skipped = false;               // any slot that somebody holds
  bool started = false;
  std::uint64_t steps = 0;  // in this ring
  std::uint64_t all_steps = 0;
  std::uint64_t epoch = no_epoch;  // as read before the walk: then it may begin where an earlier one came to
  static constexpr std::uint64_t no_epoch = ~std::uint64_t{0};

  /// Leaves a READY slot that was found to others.
  void pass_by(slot_place p) noexcept {
    if (p.ring == next.ring && p.at == next.at) ++next.at;
    skipped = true;
  }
};

class slots_chain {
 public:
  explicit slots_chain(slots_layout& layout) : layout_(layout) {}

  enum class claim_status : std::uint8_t { claimed, full, no_memory, broken };
  struct claim_result {
    claim_status status;
    slot_place first{};
    std::uint32_t count = 0;
  };
  /// Claims 1 to `want` positions next to each other for `me`: FREE -> WRITING. Grows the queue if need be.
  claim_result claim(actor_id me, std::uint32_t want);

  /// For a claim that found it full: a moment, as long as consumers get on, until there is room for several (spin.hpp).
  /// `most`: how many it may hold; 0: as many as it can.
  void await_room(deadline until, std::uint64_t most = 0) const;

  enum class found : std::uint8_t { ready, end, again, broken };
  /// Moves `walk` on to the next READY slot. `again`: the rings changed meanwhile, start a new walk.
  found next_ready(slots_walk& walk, slot_place& place, slot_word& word);
  /// Moves on over slots of any state but free and consumed.
  found next_used(slots_walk& walk, slot_place& place, slot_word& word);

  /// WRITING or TAKEN, by the caller -> FREE of the next lap.
  void free(slot_place p);
  std::uint64_t position(slot_place p) const { return base(p.ring) + p.at; }
  /// About where the next put goes: a hint.
  std::uint64_t tail_hint() const {
    const unsigned seen = put_ring();
    const unsigned r = seen < layout_.geometry().rings ? seen : layout_.geometry().rings - 1;
    return base(r) + layout_.shared().ring[r].tail.load(std::memory_order_acquire);
  }
  /// Where a position is, if it was ever reachable.
  std::optional<slot_place> place_of(std::uint64_t position) const;
  slot_word word(slot_place p) const { return {layout_.slot(p).word.load(std::memory_order_acquire)}; }
  unsigned get_ring() const { return layout_.shared().get_ring.load(std::memory_order_seq_cst); }
  unsigned put_ring() const { return layout_.shared().put_ring.load(std::memory_order_seq_cst); }
  /// A lower bound of the positions that were consumed, by all.
  std::uint64_t consumed_before();
  /// A claim would find it full.
  bool full();
  /// As far as this process knows without looking.
  bool has_room_for(std::uint64_t position) const { return position < room_until_.load(std::memory_order_relaxed); }
  /// Nothing in the rings, to all appearances.
  bool looks_drained();
  /// Passes the drained ring `r`, if it is the oldest one and drained.
  bool retire(unsigned r);
  /// Gives the pages of all passed rings back, again.
  void punch_passed();

 private:
  enum class more : std::uint8_t { again, full, no_memory };
  struct limits {
    std::uint64_t ring;   // the first position that has no room in the ring it is in
    std::uint64_t items;  // or in the queue
    bool room_for(std::uint64_t position) const { return position < ring && position < items; }
  };
  limits limits_of(unsigned ring);
  more make_room(slot_place end);
  more grow(slot_place end);
  void follow_seal(slot_place sealed);
  /// `head` is raised once for so many positions: it is a line that all sides want.
  static constexpr unsigned head_step = 8;
  std::uint64_t help_head(unsigned r);
  void punch(unsigned r);
  std::uint64_t base(unsigned r) const { return layout_.shared().bases[r].load(std::memory_order_relaxed) - 1; }
  std::optional<slot_place> earlier_ready(slot_place from, slot_place to, slot_word& word) const;
  found walk_on(slots_walk& walk, slot_place& place, slot_word& word, bool only_ready);

  void begin(slots_walk& walk);
  void remember(const slots_walk& walk);

  slots_layout& layout_;
  // Private memory, any thread:
  std::atomic<std::uint64_t> room_until_{0};  // positions before this one surely have room
  // Up to here everything is consumed, or held by somebody: no walk need begin before, as long as the epoch is this one.
  // Keeps walks short behind a slot whose owner is stopped.
  std::atomic<std::uint64_t> cursor_epoch_{slots_walk::no_epoch};
  std::atomic<std::uint64_t> cursor_place_{
      0};  // ring << 56 | position: one word, or halves of two cursors of one epoch could be mixed
  std::atomic<bool> cursor_busy_{false};
};

}  // namespace cloister::detail

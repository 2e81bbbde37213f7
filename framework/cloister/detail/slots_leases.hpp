// SPDX-License-Identifier: BSD-3-Clause
// The lease table: messages that left the ring and are not done with, and dead letters.
//
//   free -> filling(me) -> held(me) -> free (acknowledged) | returned -> held(another) | dead -> dead_taken(me) -> free | dead
//
// An entry holds the message itself (or its first chunk's number), so its slot is free at once and a long lease stops
// nobody. `held` is stored before the slot is freed: at any moment the message is in one place or, for the repair to
// resolve, in both. Entries never exchange messages. The table grows by doubling, inside the mapping.
//
// Threads and processes: any number. Nothing here waits.
#pragma once

#include <cloister/detail/slots_layout.hpp>

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

namespace cloister::detail {

class lease_table {
 public:
  explicit lease_table(slots_layout& layout) : layout_(layout) {}

  /// Entries reserved so far, checked against the geometry.
  std::uint32_t size() const;
  lease_head& at(std::uint32_t index) const { return layout_.lease(index); }
  lease_word word(std::uint32_t index) const { return {at(index).word.load(std::memory_order_acquire)}; }
  /// A free entry, now `filling` by `me`; nothing if there is none and memory for more cannot be had.
  std::optional<std::uint32_t> begin(actor_id me, std::uint64_t position);
  /// REQUIRES: the entry is `filling` by the caller.
  void fill(std::uint32_t index, std::uint64_t position, std::uint32_t length, std::span<const std::byte> bytes);
  /// One CAS. False: the entry is no longer `from`.
  bool change(std::uint32_t index, lease_word from, lease_word to) const {
    return at(index).word.compare_exchange_strong(from.raw, to.raw, std::memory_order_seq_cst);
  }
  /// The entry in state `s` with the lowest position.
  std::optional<std::uint32_t> oldest(lease_state s) const;
  /// Some entry in use names `position`.
  bool names(std::uint64_t position) const;
  /// Some message is not done with: filling, held or returned; those held by `except` are not counted.
  bool unfinished(actor_id except) const;
  /// Where to look for a free entry next. A hint.
  void freed(std::uint32_t index) { hint_.store(index, std::memory_order_relaxed); }

 private:
  bool grow(std::uint32_t seen_size);

  slots_layout& layout_;
  std::atomic<std::uint32_t> hint_{0};  // private
};

}  // namespace cloister::detail

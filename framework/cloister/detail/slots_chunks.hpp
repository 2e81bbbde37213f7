// SPDX-License-Identifier: BSD-3-Clause
// Room for messages larger than a slot: 4 KiB pieces of the mapping, each with an owner word, linked in the message's order.
//
// A put takes all its chunks (free -> owned) before it claims a slot, and marks them `in(position)` before it commits;
// a get copies, frees its slot, and only then the chunks, from a list made before (a chunk may belong to another
// message the moment the slot is free). Whoever dies leaves every chunk either `owned` by it or `in` a position that
// can be looked up. Neighbours are taken together where possible, so that a large message is few memcpys.
//
// Threads and processes: any number. Nothing here waits.
#pragma once

#include <cloister/detail/gathered.hpp>
#include <cloister/detail/slots_layout.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace cloister::detail {

/// Neighbouring chunks.
struct chunk_run {
  std::uint32_t first;
  std::uint32_t count;
};
using chunk_runs = std::vector<chunk_run>;

class chunk_pool {
 public:
  explicit chunk_pool(slots_layout& layout) : layout_(layout) {}

  enum class outcome : std::uint8_t { taken, full, no_memory, broken };
  static std::uint32_t chunks_for(std::size_t bytes) {
    return static_cast<std::uint32_t>((bytes + slots_geometry::chunk_bytes - 1) / slots_geometry::chunk_bytes);
  }

  /// Takes `count` chunks for `me`, and links them; or none. After `full` or `no_memory`, `touched` tells whether others may have
  /// missed room because of the attempt: then tell those who wait for chunks.
  outcome take(actor_id me, std::uint32_t count, chunk_runs& into, bool& touched);
  /// owned -> free
  void give_back(std::span<const chunk_run> runs);
  /// owned -> in(position)
  void bind(std::span<const chunk_run> runs, std::uint64_t position);
  /// The chunks of a message that is held by the caller. False: not a chain of `count` chunks that are in(position).
  bool collect(std::uint32_t first, std::uint32_t count, std::uint64_t position, chunk_runs& into) const;
  /// in(position) -> free, where it still is.
  void release(std::span<const chunk_run> runs, std::uint64_t position);
  /// The same along the chain, for who has no list and cannot allocate one.
  void release(std::uint32_t first, std::uint32_t count, std::uint64_t position);

  void write(std::span<const chunk_run> runs, const gathered& message) const;
  /// `into` is at most as long as the chunks.
  void read(std::span<const chunk_run> runs, std::span<std::byte> into) const;

  /// Chunks reserved so far, checked against the geometry.
  std::uint32_t top() const;

 private:
  std::uint32_t take_free(actor_id me, std::uint32_t from, std::uint32_t to, std::uint32_t missing, chunk_runs& into);
  std::uint32_t take_freed(actor_id me, std::uint32_t missing, chunk_runs& into);
  std::uint32_t take_absent(actor_id me, std::uint32_t missing, chunk_runs& into, bool& no_memory);
  outcome grow(std::uint32_t missing);
  bool could_fit(std::uint32_t count) const;
  void link(std::span<const chunk_run> runs);
  void lower_hint(std::uint32_t index);

  slots_layout& layout_;
};

}  // namespace cloister::detail

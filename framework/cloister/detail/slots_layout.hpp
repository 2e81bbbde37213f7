// SPDX-License-Identifier: BSD-3-Clause
// Where everything of a queue lies in its mapping, and what each word means (docs/formats.md, "queue", has the byte table).
//
//   0       object header (memory.hpp), immutable     128  slots_geometry, immutable     256  slots_shared: hints, events, counters
//   rings   ring 0, 1, ...: N, 2N, 4N ... slots of `stride` bytes, each ring on pages of its own, reserved when the queue grows into it
//   leases  levels of lease entries, doubling likewise          chunk table, chunks: 4 KiB pieces for messages larger than a slot
//
// Every word that says who owns something is changed by CAS from a value that names its state exactly; the hints beside
// it (tail, head, put_ring ...) may lag and are only ever raised. All zeroes is the initial state of everything here.
// The geometry is copied to private memory at attach and follows from four numbers, so that a forged one is found out.
#pragma once

#include <cloister/detail/event_count.hpp>
#include <cloister/detail/memory.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace cloister::detail {

/// Who holds something: 1 to 65533 a process, 65534 the hub. Never a PID; re-used only after a repair.
using actor_id = std::uint16_t;
inline constexpr actor_id no_actor = 0;
inline constexpr actor_id hub_actor = 65534;

enum class slot_state : unsigned { free, writing, ready, taken, leased, sealed };

/// lap:40 | state:4 | redelivered:4 | owner:16. Position p of a ring of N slots is slot p % N in lap p / N.
struct slot_word {
  std::uint64_t raw = 0;

  static constexpr std::uint64_t lap_mask = (std::uint64_t{1} << 40) - 1;
  static constexpr unsigned most_redeliveries = 15;
  static constexpr slot_word make(std::uint64_t lap, slot_state s, unsigned redelivered = 0, actor_id owner = 0) {
    return {(lap & lap_mask) << 24 | static_cast<std::uint64_t>(s) << 20 | static_cast<std::uint64_t>(redelivered) << 16 | owner};
  }
  constexpr std::uint64_t lap() const { return raw >> 24; }
  constexpr slot_state state() const { return static_cast<slot_state>(raw >> 20 & 15); }
  constexpr unsigned redelivered() const { return static_cast<unsigned>(raw >> 16 & 15); }
  constexpr actor_id owner() const { return static_cast<actor_id>(raw); }
  /// > 0 if this word is of a later lap, < 0 of an earlier one. Laps wrap.
  constexpr std::int64_t laps_after(std::uint64_t lap_of_p) const {
    return static_cast<std::int64_t>((lap() - lap_of_p) << 24) >> 24;
  }
  constexpr bool is(slot_state s, actor_id who) const { return state() == s && owner() == who; }
};

enum class lease_state : unsigned { free, filling, held, returned, dead, dead_taken };

/// tag:40 (low bits of the position) | state:4 | redelivered:4 | owner:16.
struct lease_word {
  std::uint64_t raw = 0;

  static constexpr lease_word make(lease_state s, unsigned redelivered, actor_id owner, std::uint64_t position) {
    return {position << 24 | static_cast<std::uint64_t>(s) << 20 | static_cast<std::uint64_t>(redelivered) << 16 | owner};
  }
  constexpr std::uint64_t tag() const { return raw >> 24; }
  constexpr lease_state state() const { return static_cast<lease_state>(raw >> 20 & 15); }
  constexpr unsigned redelivered() const { return static_cast<unsigned>(raw >> 16 & 15); }
  constexpr actor_id owner() const { return static_cast<actor_id>(raw); }
};

enum class chunk_state : unsigned { free, owned, in, absent, reserving };

/// position:45 | owner:16 | state:3.
struct chunk_word {
  std::uint64_t raw = 0;

  static constexpr std::uint64_t position_mask = (std::uint64_t{1} << 45) - 1;
  static constexpr chunk_word make(chunk_state s, actor_id owner) {
    return {static_cast<std::uint64_t>(owner) << 3 | static_cast<std::uint64_t>(s)};
  }
  static constexpr chunk_word in(std::uint64_t position) { return {position << 19 | static_cast<std::uint64_t>(chunk_state::in)}; }
  constexpr std::uint64_t position() const { return raw >> 19; }
  constexpr chunk_state state() const { return static_cast<chunk_state>(raw & 7); }
  constexpr actor_id owner() const { return static_cast<actor_id>(raw >> 3); }
};

/// A slot; `room` bytes of payload begin at `bytes`. A larger message has its first chunk's number there.
struct slot_head {
  std::atomic<std::uint64_t> word;
  std::atomic<std::uint32_t> length;
  std::atomic<std::uint32_t> check;  // of length and position: catches stray writes
  std::byte* bytes() { return reinterpret_cast<std::byte*>(this + 1); }
};
static_assert(sizeof(slot_head) == 16);

/// A lease entry; everything but `word` is written while `filling` and stays until the entry is free.
struct lease_head {
  std::atomic<std::uint64_t> word;
  std::atomic<std::uint64_t> position;
  std::atomic<std::uint32_t> length;
  std::atomic<std::uint32_t> check;
  std::byte* bytes() { return reinterpret_cast<std::byte*>(this + 1); }
};
static_assert(sizeof(lease_head) == 24);

struct chunk_entry {
  std::atomic<std::uint64_t> word;
  std::atomic<std::uint32_t> next;
  std::uint32_t unused;
};
static_assert(sizeof(chunk_entry) == 16);

/// Immutable, at byte 128.
struct slots_geometry {
  std::uint32_t room;         // bytes of a message that lies in its slot
  std::uint32_t stride;       // bytes of a slot
  std::uint32_t first_slots;  // of ring 0; a power of two
  std::uint32_t rings;        // how many there can be
  std::uint32_t lease_stride;
  std::uint32_t first_leases;  // entries of level 0; a power of two
  std::uint32_t lease_levels;
  std::uint32_t chunks;     // how many there can be
  std::uint64_t max_items;  // 0 = no limit
  std::uint64_t max_bytes;
  std::uint64_t max_deliveries;  // 0 = no limit
  std::uint64_t leases_at;       // offsets
  std::uint64_t chunk_table_at;
  std::uint64_t chunks_at;
  std::uint64_t size;  // of the mapping

  static constexpr std::size_t at = 128;
  static constexpr std::size_t chunk_bytes = 4096;
  static constexpr std::size_t rings_at = 8192;
  static constexpr unsigned most_rings = 24;
  static constexpr unsigned most_levels = 24;
  static constexpr std::size_t largest_room = 65 * 64 - 16;  // 4 KiB and a little: the slot has an odd number of cache lines
  static constexpr std::size_t usual_room = 304;
  static constexpr std::uint64_t most_length = 0xffffffff;  // a length has 32 bits

  /// `message_size`: of a flat type; 0 if messages differ in size.
  static slots_geometry plan(std::size_t message_size, std::uint64_t max_items, std::uint64_t max_bytes,
                             std::uint64_t max_deliveries);
  friend bool operator==(const slots_geometry&, const slots_geometry&) = default;

  std::uint64_t slots_in(unsigned ring) const { return std::uint64_t{first_slots} << ring; }
  std::uint64_t ring_bytes(unsigned ring) const;
  std::uint64_t ring_at(unsigned ring) const;
  std::uint64_t leases_in(unsigned level) const { return std::uint64_t{first_leases} << level; }
  std::uint64_t level_bytes(unsigned level) const { return leases_in(level) * lease_stride; }
  std::uint64_t level_at(unsigned level) const { return leases_at + (leases_in(level) - first_leases) * lease_stride; }
  std::uint64_t largest_message() const { return std::min(std::uint64_t{chunks} * chunk_bytes, most_length); }
};
static_assert(sizeof(slots_geometry) == 88 && offsetof(slots_geometry, max_items) == 32 && offsetof(slots_geometry, size) == 80);

/// Bits of `status`; none = open.
enum slots_status : std::uint32_t { status_closed = 1, status_now = 2, status_broken = 4 };

struct ring_state {                              // 128 bytes apart, because processors fetch lines in pairs
  alignas(128) std::atomic<std::uint64_t> tail;  // hint: every position before it was claimed
  alignas(128) std::atomic<std::uint64_t> head;  // hint: every position before it is consumed
};

/// At byte 256.
struct slots_shared {
  // Read by every operation, rarely written.
  alignas(64) std::atomic<std::uint32_t> status;
  std::atomic<std::uint32_t> put_ring;               // hints: the first ring that may have room,
  std::atomic<std::uint32_t> get_ring;               // and the first that may hold a message; rings before it are drained for good
  std::atomic<std::uint32_t> rings;                  // reserved beyond ring 0
  std::atomic<std::uint32_t> lease_levels;           // reserved beyond level 0
  std::atomic<std::uint32_t> chunk_top;              // chunks reserved
  std::atomic<std::uint64_t> epoch;                  // something came back: look everywhere again
  event_count ready;                                 // something to take, or an end
  event_count vacant;                                // room for a message, or an end
  event_count chunk_room;                            // chunks came back
  event_count settled;                               // nothing unfinished, or a dead letter
  alignas(64) std::atomic<std::uint32_t> chunk_low;  // hint: where the first free chunk may be
  alignas(64) std::atomic<std::uint64_t> torn;       // counters, for people
  std::atomic<std::uint64_t> redelivered;
  std::atomic<std::uint64_t> buried;
  alignas(64) std::array<std::atomic<std::uint64_t>,
                         slots_geometry::most_rings> bases;  // 1 + global position of a ring's first; 0 = not known yet
  std::array<ring_state, slots_geometry::most_rings> ring;

  static constexpr std::size_t at = 256;
};
static_assert(offsetof(slots_shared, ready) == 64 && offsetof(slots_shared, chunk_low) == 320 &&
              offsetof(slots_shared, torn) == 384);
static_assert(offsetof(slots_shared, bases) == 448 && offsetof(slots_shared, ring) == 640 && sizeof(ring_state) == 256);
static_assert(slots_shared::at + sizeof(slots_shared) <= slots_geometry::rings_at && std::is_standard_layout_v<slots_shared>);

/// A place in the chain of rings.
struct slot_place {
  unsigned ring = 0;
  std::uint64_t at = 0;  // position within the ring
};

/// The mapping with its geometry in private memory: turns numbers, which may come from anywhere, into addresses inside.
class slots_layout {
 public:
  slots_layout(memory mapped, const slots_geometry& geometry);

  const slots_geometry& geometry() const { return geometry_; }
  memory& mapping() { return mapping_; }
  slots_shared& shared() const { return *shared_; }
  std::uint64_t lap(slot_place p) const { return p.at >> (first_shift_ + p.ring) & slot_word::lap_mask; }
  /// REQUIRES: ring < geometry().rings
  slot_head& slot(slot_place p) const {
    const auto index = p.at & ((std::uint64_t{geometry_.first_slots} << p.ring) - 1);
    return *reinterpret_cast<slot_head*>(ring_data_[p.ring] + index * geometry_.stride);
  }
  /// Fetches a slot that will be written to soon.
  void prefetch(slot_place p) const {
    const auto* at = reinterpret_cast<const std::byte*>(&slot(p));
    prefetch_for_writing(at);
    prefetch_for_writing(at + 64);
  }
  /// REQUIRES: index < the entries of all levels
  lease_head& lease(std::uint32_t index) const;
  std::uint32_t leases(unsigned levels) const {
    return static_cast<std::uint32_t>(geometry_.leases_in(levels) - geometry_.first_leases);
  }
  /// REQUIRES: index < geometry().chunks
  chunk_entry& chunk(std::uint32_t index) const { return chunk_table_[index]; }
  std::byte* chunk_data(std::uint32_t index) const { return chunk_data_ + std::size_t{index} * slots_geometry::chunk_bytes; }

 private:
  memory mapping_;
  slots_geometry geometry_;
  unsigned first_shift_;
  slots_shared* shared_;
  std::array<std::byte*, slots_geometry::most_rings> ring_data_{};
  std::byte* lease_data_;
  chunk_entry* chunk_table_;
  std::byte* chunk_data_;
};

/// Goes with a length in shared memory; stray writes rarely keep it.
constexpr std::uint32_t length_check(std::uint32_t length, std::uint64_t position) {
  return (length ^ static_cast<std::uint32_t>(position) ^ static_cast<std::uint32_t>(position >> 32)) * 0x9E3779B1U + 0x5bd1e995U;
}

}  // namespace cloister::detail

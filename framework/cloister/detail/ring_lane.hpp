// SPDX-License-Identifier: BSD-3-Clause
// One direction of a pipe: what its two sides share, and what each checks of the other.
//
// A lane is a few byte rings of growing size, its levels: 16 KiB, sixteen times that, and so on up to `max_bytes`. Each
// level has a tail (bytes ever written, stored by the writer only: the store is the commit) and a head (bytes ever
// delivered, stored by the reader only). The stream begins at level 0; a tail word also says, in its low bits, at which
// higher level the stream goes on once this level is read empty. Rules that keep the order:
//   - the writer writes at the end of the path; it may extend the path upwards at any time (levels off the path are
//     empty), and starts the path anew only when everything has been read;
//   - the reader takes from the first level on the path that holds something, and after it found something above level 0
//     looks again that the levels below are still empty: it may have followed a path that was started anew since.
// So a small message costs a hot 16 KiB ring, a large one has room at once, and memory above level 0 can be given back.
//
// Death: whatever is beyond a tail does not exist; whatever is not below a head is still there. A new owner of an end
// starts from these words. Only `use` has states, so that memory is not given back under a writer:
//   bare (nothing reserved) or kept --writer--> writing --writer--> kept --reader--> trimming --reader--> bare
// A dead writer's `writing` and a dead reader's `trimming` are settled by the next owner of that end.
#pragma once

#include <cloister/detail/event_count.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace cloister::detail {

inline constexpr unsigned max_ring_levels = 7;

enum level_use : std::uint32_t { bare = 0, kept = 1, writing = 2, trimming = 3 };

/// In shared memory (docs/formats.md, "pipe"); all zeroes is its initial state. Lines of two writers are 128 bytes
/// apart, because processors fetch them in pairs.
template <class Platform>
struct basic_lane {
  template <class T>
  using atom = typename Platform::template atom<T>;
  alignas(128) std::array<atom<std::uint64_t>, 8> tail;  // written by the writer
  alignas(128) std::array<atom<std::uint64_t>, 8> head;  // written by the reader
  alignas(128) std::array<atom<std::uint32_t>, 16> use;  // level_use
  alignas(128) basic_event_count<Platform> data;         // the reader sleeps here
  alignas(128) basic_event_count<Platform> space;        // the writer sleeps here
};
using shared_lane = basic_lane<linux_platform>;
static_assert(sizeof(shared_lane) == 640 && alignof(shared_lane) == 128);

/// Where the levels are: private, computed from `max_bytes` alone.
struct lane_geometry {
  struct level {
    std::size_t offset = 0;      // in the mapping
    std::uint64_t capacity = 0;  // a power of two
  };
  std::array<level, max_ring_levels> levels{};
  unsigned count = 0;
  std::uint64_t max_bytes = 0;  // unread at one time, record headers included
  std::byte* base = nullptr;    // the mapping

  std::byte* at(unsigned l, std::uint64_t position) const noexcept {
    return base + levels[l].offset + (position & (levels[l].capacity - 1));
  }
  /// Bytes from `position` to where level `l` wraps.
  std::uint64_t until_wrap(unsigned l, std::uint64_t position) const noexcept {
    return levels[l].capacity - (position & (levels[l].capacity - 1));
  }
  /// Where a record goes by its size: three fit, or the last level.
  unsigned best_level(std::uint64_t record) const noexcept {
    unsigned l = 0;
    while (l + 1 < count && levels[l].capacity / 3 < record) ++l;
    return l;
  }
};

/// A tail word: a position, a multiple of 8, and in the low bits the level at which the stream goes on, 0 if it ends here.
constexpr std::uint64_t position_of(std::uint64_t tail) noexcept { return tail & ~std::uint64_t{7}; }
constexpr unsigned link_of(std::uint64_t tail) noexcept { return static_cast<unsigned>(tail & 7); }

/// A record is this word and the message, rounded up to 8 bytes: length in the low 40 bits, above it 24 bits made from
/// length and position, so that a stray write or an old header is recognised.
inline constexpr std::uint64_t record_header_bytes = 8;
inline constexpr std::uint64_t max_record_length = (std::uint64_t{1} << 40) - 16;

constexpr std::uint64_t record_bytes(std::uint64_t length) noexcept {
  return record_header_bytes + ((length + 7) & ~std::uint64_t{7});
}
constexpr std::uint64_t record_header(std::uint64_t length, std::uint64_t position) noexcept {
  const std::uint64_t mixed = (length ^ (position << 20) ^ 0x5bd1e995c3a5c85cULL) * 0x9e3779b97f4a7c15ULL;
  return length | (mixed >> 40) << 40;
}
constexpr std::uint64_t length_of(std::uint64_t header) noexcept { return header & ((std::uint64_t{1} << 40) - 1); }

/// A peer's counter is believed only if it lies where a correct peer's can: [from, from + most], in steps of 8.
constexpr bool plausible(std::uint64_t value, std::uint64_t from, std::uint64_t most) noexcept {
  return value - from <= most && ((value - from) & 7) == 0;
}

/// What one attempt came to.
enum class lane_outcome : std::uint8_t {
  done,       ///< written, or found
  nothing,    ///< full, or empty
  no_memory,  ///< the level this record needs could not be reserved; nothing changed
  too_large,  ///< would not even fit alone
  broken,     ///< the peer's words are impossible; nothing was written
};

}  // namespace cloister::detail

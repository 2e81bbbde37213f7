// SPDX-License-Identifier: BSD-3-Clause
// The writing side of a lane (ring_lane.hpp): one attempt to append one record, never waiting.
//
// Owned by the process that holds the writing end; one thread at a time. Everything it decides on is private, except the
// reader's heads, which are read and checked. A template over the platform, so that tests run this code under a scheduler.
#pragma once

#include <cloister/detail/gathered.hpp>
#include <cloister/detail/ring_lane.hpp>

#include <algorithm>
#include <cstring>
#include <span>

namespace cloister::detail {

/// `Store`: `bool reserve(std::size_t offset, std::size_t bytes)` makes a range of the mapping safe to touch,
/// `void release(...)` gives it back.
template <class Platform, class Store>
class lane_writer {
 public:
  lane_writer(basic_lane<Platform>& lane, const lane_geometry& geometry, Store store)
      : lane_(lane), geometry_(geometry), store_(store) {}

  /// Starts from the shared words: the end is new here. Settles what a dead owner left. `done` or `broken`.
  /// REQUIRES: nobody else writes to this lane.
  lane_outcome take_over() noexcept;
  /// Appends `message` if there is room where the stream ends, or where a record of its size belongs, or with `may_grow`
  /// further up. After `done` it is committed, and the caller notifies `data`.
  /// Memory ordering: the tail store releases the record to the reader; the head loads acquire the room.
  lane_outcome put(const gathered& message, bool may_grow) noexcept;
  /// After a put that found no room: a moment, as long as the reader gets on, until there is room for several (spin.hpp).
  void await_room(deadline until) const noexcept {
    await_batch(lane_.head[current_], geometry_.levels[current_].capacity / 4, until);
  }
  /// Where the stream ends: bytes ever written, over all levels. After `done`: the position behind that record.
  std::uint64_t position() const noexcept { return position_; }
  /// Bytes that the reader has delivered, as last seen: tells whether it gets on.
  std::uint64_t delivered() const noexcept { return position_ - unread(); }

 private:
  std::uint64_t room(unsigned l) const noexcept { return geometry_.levels[l].capacity - (tail_[l] - head_seen_[l]); }
  std::uint64_t unread() const noexcept;
  bool look() noexcept;
  lane_outcome put_slowly(const gathered& message, std::uint64_t record, bool may_grow) noexcept;
  lane_outcome put_above(unsigned l, const gathered& message, std::uint64_t record, bool restart) noexcept;
  bool claim(unsigned l) noexcept;
  bool reserve(unsigned l, std::uint64_t upto) noexcept;
  bool reserve_more(unsigned l, std::uint64_t in_all) noexcept;
  void shed(unsigned l) noexcept;
  void write(unsigned l, const gathered& message, std::uint64_t record) noexcept;
  void copy(unsigned l, std::uint64_t position, gathered::reader& from, std::uint64_t bytes) noexcept;

  basic_lane<Platform>& lane_;
  const lane_geometry& geometry_;
  Store store_;
  unsigned current_ = 0;  // the level where the stream ends
  std::uint64_t position_ = 0;
  std::array<std::uint64_t, max_ring_levels> tail_{};  // without links
  std::array<std::uint64_t, max_ring_levels> head_seen_{};
  // Above level 0, the positions [bare_from_, reserved_to_) have memory; once that is the capacity, all have.
  std::array<std::uint64_t, max_ring_levels> bare_from_{};
  std::array<std::uint64_t, max_ring_levels> reserved_to_{};
};

// ---------------------------------------------------------------------------------------------------------------------

template <class Platform, class Store>
lane_outcome lane_writer<Platform, Store>::take_over() noexcept {
  std::array<std::uint64_t, max_ring_levels> words{};
  position_ = 0;
  for (unsigned l = 0; l < geometry_.count; ++l) {
    words[l] = lane_.tail[l].load(std::memory_order_acquire);
    tail_[l] = bare_from_[l] = reserved_to_[l] = position_of(words[l]);
    head_seen_[l] = tail_[l] - std::min(tail_[l], geometry_.levels[l].capacity);
    position_ += tail_[l];
    // A predecessor that died while writing. What it had reserved is reserved again when it is needed.
    if (lane_.use[l].load(std::memory_order_relaxed) == writing) lane_.use[l].store(kept, std::memory_order_release);
  }
  current_ = 0;
  while (const unsigned next = link_of(words[current_])) {
    if (next <= current_ || next >= geometry_.count) return lane_outcome::broken;
    current_ = next;
  }
  return look() ? lane_outcome::done : lane_outcome::broken;
}

template <class Platform, class Store>
bool lane_writer<Platform, Store>::look() noexcept {
  for (unsigned l = 0; l < geometry_.count; ++l) {
    const auto head = lane_.head[l].load(std::memory_order_acquire);
    if (!plausible(head, head_seen_[l], tail_[l] - head_seen_[l])) return false;
    head_seen_[l] = head;
  }
  return true;
}

template <class Platform, class Store>
std::uint64_t lane_writer<Platform, Store>::unread() const noexcept {
  std::uint64_t sum = 0;
  for (unsigned l = 0; l < geometry_.count; ++l) sum += tail_[l] - head_seen_[l];
  return sum;
}

template <class Platform, class Store>
inline lane_outcome lane_writer<Platform, Store>::put(const gathered& message, bool may_grow) noexcept {
  Platform::fault("pipe_put", 1);
  const std::uint64_t record = record_bytes(message.size());
  // While the stream ends at level 0, all other levels are empty.
  if (current_ == 0 && record <= geometry_.levels[0].capacity / 3 && room(0) >= record) [[likely]] {
    write(0, message, record);
    return lane_outcome::done;
  }
  return put_slowly(message, record, may_grow);
}

template <class Platform, class Store>
lane_outcome lane_writer<Platform, Store>::put_slowly(const gathered& message, std::uint64_t record, bool may_grow) noexcept {
  if (message.size() > max_record_length || record > geometry_.max_bytes) return lane_outcome::too_large;
  if (!look()) return lane_outcome::broken;
  const std::uint64_t waiting = unread();
  if (record > geometry_.max_bytes - std::min(waiting, geometry_.max_bytes)) return lane_outcome::nothing;
  const bool restart = waiting == 0;
  const unsigned best = std::max(restart ? 0U : current_, geometry_.best_level(record));  // nothing may overtake
  const unsigned lowest = restart ? 0U : current_;
  bool starved = false;
  const auto fits = [&](unsigned l) { return (l != current_ || room(l) >= record) && record <= geometry_.levels[l].capacity; };
  const auto try_level = [&](unsigned l) {
    if (!fits(l)) return lane_outcome::nothing;
    if (l != 0) return claim(l) ? put_above(l, message, record, restart) : lane_outcome::nothing;
    current_ = 0;
    write(0, message, record);  // and so the path ends here again
    return lane_outcome::done;
  };
  // A level that fits may be without memory; or its memory is being given back just now, by a reader that may be stopped.
  for (unsigned l = best; l < geometry_.count && !starved && (l == best || may_grow); ++l) {
    const auto outcome = try_level(l);
    if (outcome == lane_outcome::done) return outcome;
    starved = outcome == lane_outcome::no_memory;
  }
  for (unsigned l = best; (may_grow || starved) && l-- > lowest;)
    if (try_level(l) == lane_outcome::done) return lane_outcome::done;
  // What fits level 0 finds room there as soon as all has been read.
  return starved && record > geometry_.levels[0].capacity ? lane_outcome::no_memory : lane_outcome::nothing;
}

// REQUIRES: level `l` is claimed and has room. Each store leaves a lane that a reader and a next owner can go on with:
// reserved but not linked, linked but empty.
template <class Platform, class Store>
lane_outcome lane_writer<Platform, Store>::put_above(unsigned l, const gathered& message, std::uint64_t record,
                                                     bool restart) noexcept {
  Platform::fault("pipe_grow", 1);
  if (!reserve(l, tail_[l] + record) && !(restart && (shed(l), reserve(l, tail_[l] + record)))) {
    lane_.use[l].store(kept, std::memory_order_release);
    return lane_outcome::no_memory;
  }
  Platform::fault("pipe_grow", 2);
  if (l != current_) {
    const unsigned from = restart ? 0 : current_;
    lane_.tail[from].store(tail_[from] | l, std::memory_order_release);
    Platform::fault("pipe_grow", 3);
    current_ = l;
  }
  write(l, message, record);
  lane_.use[l].store(kept, std::memory_order_release);
  return lane_outcome::done;
}

template <class Platform, class Store>
bool lane_writer<Platform, Store>::claim(unsigned l) noexcept {
  auto use = lane_.use[l].load(std::memory_order_relaxed);
  if (use == trimming || !lane_.use[l].compare_exchange_strong(use, writing, std::memory_order_acq_rel)) return false;
  if (use == bare) bare_from_[l] = reserved_to_[l] = tail_[l];
  return true;
}

// Gives back what all levels kept, for level `l`. REQUIRES: `l` is claimed, everything has been read.
template <class Platform, class Store>
void lane_writer<Platform, Store>::shed(unsigned l) noexcept {
  for (unsigned k = 1; k < geometry_.count; ++k) {
    if (k != l && (lane_.use[k].load(std::memory_order_relaxed) != kept || !claim(k))) continue;
    store_.release(geometry_.levels[k].offset, geometry_.levels[k].capacity);
    bare_from_[k] = reserved_to_[k] = tail_[k];
    if (k != l) lane_.use[k].store(bare, std::memory_order_release);
  }
}

// In steps, because each is a system call; just what is needed, if there is no more.
template <class Platform, class Store>
bool lane_writer<Platform, Store>::reserve(unsigned l, std::uint64_t upto) noexcept {
  constexpr std::uint64_t step = std::uint64_t{4} << 20;
  constexpr std::uint64_t page = 4096;
  const std::uint64_t capacity = geometry_.levels[l].capacity;
  const std::uint64_t need = upto - bare_from_[l];
  if (need <= reserved_to_[l] - bare_from_[l] || reserved_to_[l] - bare_from_[l] >= capacity) return true;
  const std::uint64_t enough = std::min(capacity, (need + page - 1) & ~(page - 1));
  return reserve_more(l, std::max(enough, std::min(step, capacity))) || reserve_more(l, enough);
}

template <class Platform, class Store>
bool lane_writer<Platform, Store>::reserve_more(unsigned l, std::uint64_t in_all) noexcept {
  const std::uint64_t bytes = in_all - (reserved_to_[l] - bare_from_[l]);
  const std::uint64_t first = std::min(bytes, geometry_.until_wrap(l, reserved_to_[l]));
  const std::size_t offset = geometry_.levels[l].offset;
  if (!store_.reserve(offset + (reserved_to_[l] & (geometry_.levels[l].capacity - 1)), first)) return false;
  if (first < bytes && !store_.reserve(offset, bytes - first)) return false;
  reserved_to_[l] += bytes;
  return true;
}

template <class Platform, class Store>
inline void lane_writer<Platform, Store>::write(unsigned l, const gathered& message, std::uint64_t record) noexcept {
  Platform::fault("pipe_put", 2);
  const std::uint64_t at = tail_[l];
  const std::uint64_t header = record_header(message.size(), at);
  std::memcpy(geometry_.at(l, at), &header, record_header_bytes);  // never wraps: positions are multiples of 8
  if (Platform::faults()) [[unlikely]] {                           // die with half a message written
    gathered::reader half(message);
    copy(l, at + record_header_bytes, half, message.size() / 2);
    Platform::fault("pipe_put", 3);
  }
  gathered::reader bytes(message);
  copy(l, at + record_header_bytes, bytes, message.size());
  Platform::fault("pipe_put", 4);
  tail_[l] = at + record;
  position_ += record;
  lane_.tail[l].store(tail_[l], std::memory_order_release);  // the commit; it also says that the stream ends here
  Platform::fault("pipe_put", 5);
}

template <class Platform, class Store>
inline void lane_writer<Platform, Store>::copy(unsigned l, std::uint64_t position, gathered::reader& from,
                                               std::uint64_t bytes) noexcept {
  const std::uint64_t first = std::min(bytes, geometry_.until_wrap(l, position));
  from.copy(geometry_.at(l, position), first);
  if (first < bytes) from.copy(geometry_.at(l, 0), bytes - first);
}

}  // namespace cloister::detail

// SPDX-License-Identifier: BSD-3-Clause
// The reading side of a lane (ring_lane.hpp): find the next record, deliver it, give memory back. Never waits.
//
// Owned by the process that holds the reading end; one thread at a time. Everything the writer wrote is read once,
// checked, and copied by the caller before it is parsed.
#pragma once

#include <cloister/detail/ring_lane.hpp>

#include <algorithm>
#include <cstring>
#include <span>

namespace cloister::detail {

/// A record in the mapping. Valid until pop. A hostile writer may still change its bytes: copy, then parse.
struct ring_message {
  std::span<const std::byte> first;
  std::span<const std::byte> second;  ///< the rest, if the record wraps
  std::uint64_t position = 0;         ///< what put returned for it

  std::size_t size() const noexcept { return first.size() + second.size(); }
  /// REQUIRES: room for size() bytes at `to`.
  void copy_to(std::byte* to) const noexcept {
    if (!first.empty()) std::memcpy(to, first.data(), first.size());
    if (!second.empty()) std::memcpy(to + first.size(), second.data(), second.size());
  }
};

/// `Store`: `void release(std::size_t offset, std::size_t bytes)` gives memory back.
template <class Platform, class Store>
class lane_reader {
 public:
  /// Levels of more than this are given back when they are read empty, unless large messages come one after the other.
  /// Smaller ones when the reader idles.
  static constexpr std::uint64_t kept_while_busy = std::uint64_t{4} << 20;

  lane_reader(basic_lane<Platform>& lane, const lane_geometry& geometry, Store store)
      : lane_(lane), geometry_(geometry), store_(store) {}

  /// Starts from the shared words: the end is new here. Settles what a dead owner left. `done` or `broken`.
  /// REQUIRES: nobody else reads from this lane.
  lane_outcome take_over() noexcept;
  /// The last take_over ended what a predecessor died trimming: the caller then notifies `space`, a writer may wait for it.
  bool settled() const noexcept { return settled_; }
  /// The next record, if there is one. Repeated calls find the same one until pop.
  /// Memory ordering: the tail load acquires the record.
  lane_outcome find() noexcept;
  /// REQUIRES: the last find() was `done`.
  const ring_message& message() const noexcept { return message_; }
  /// Delivers it: from here on it is the caller's alone. The caller then notifies `space`.
  /// Memory ordering: the head store releases the room to the writer, after the caller's copy.
  void pop() noexcept;

  /// The last pop read a large level empty.
  bool large_drained() const noexcept {
    return level_ != 0 && geometry_.levels[level_].capacity > kept_while_busy && drained(level_);
  }
  /// Gives it back. True if there was something: the caller then notifies `space`.
  bool trim_large() noexcept { return trim(level_); }
  /// Gives back everything above level 0 that is read empty.
  bool trim_all() noexcept;
  /// True if trim_all would find something.
  bool trimmable() const noexcept;

 private:
  bool scan() noexcept;
  bool trim(unsigned l) noexcept;
  bool drained(unsigned l) const noexcept { return position_of(lane_.tail[l].load(std::memory_order_acquire)) == head_[l]; }

  basic_lane<Platform>& lane_;
  const lane_geometry& geometry_;
  Store store_;
  unsigned level_ = 0;           // of the record at hand, or of the last one
  std::uint64_t tail_seen_ = 0;  // of level_
  std::uint64_t record_ = 0;     // the size of the record at hand, 0 if there is none
  std::uint64_t position_ = 0;   // bytes delivered, over all levels
  std::array<std::uint64_t, max_ring_levels> head_{};
  bool broken_ = false;
  bool settled_ = false;
  ring_message message_;
};

// ---------------------------------------------------------------------------------------------------------------------

template <class Platform, class Store>
lane_outcome lane_reader<Platform, Store>::take_over() noexcept {
  position_ = 0;
  level_ = 0;
  record_ = 0;
  broken_ = false;
  settled_ = false;
  for (unsigned l = 0; l < geometry_.count; ++l) {
    head_[l] = lane_.head[l].load(std::memory_order_acquire);
    position_ += head_[l];
    const auto tail = position_of(lane_.tail[l].load(std::memory_order_acquire));
    if (!plausible(tail, head_[l], geometry_.levels[l].capacity)) broken_ = true;
  }
  tail_seen_ = head_[0];
  if (broken_) return lane_outcome::broken;
  for (unsigned l = 1; l < geometry_.count; ++l) {
    if (lane_.use[l].load(std::memory_order_acquire) != trimming) continue;
    // A predecessor that died while giving the level back; its writer has kept away from it.
    if (drained(l)) store_.release(geometry_.levels[l].offset, geometry_.levels[l].capacity);
    lane_.use[l].store(drained(l) ? bare : kept, std::memory_order_release);
    settled_ = true;
  }
  return lane_outcome::done;
}

template <class Platform, class Store>
inline lane_outcome lane_reader<Platform, Store>::find() noexcept {
  Platform::fault("pipe_get", 1);
  if (record_ != 0) return lane_outcome::done;
  if (head_[level_] == tail_seen_ && !scan()) return broken_ ? lane_outcome::broken : lane_outcome::nothing;
  const std::uint64_t head = head_[level_];
  std::uint64_t header = 0;
  std::memcpy(&header, geometry_.at(level_, head), record_header_bytes);
  const std::uint64_t length = length_of(header);
  const std::uint64_t record = record_bytes(length);
  if (record > tail_seen_ - head || record > geometry_.max_bytes || header != record_header(length, head)) {
    broken_ = true;
    return lane_outcome::broken;
  }
  const std::uint64_t at = head + record_header_bytes;
  const std::uint64_t first = std::min(length, geometry_.until_wrap(level_, at));
  message_.first = {geometry_.at(level_, at), first};
  message_.second = {geometry_.at(level_, 0), length - first};
  message_.position = position_ + record;
  record_ = record;
  Platform::fault("pipe_get", 2);
  return lane_outcome::done;
}

// Follows the path to the first level that holds something. Above level 0 the path may be an old one, started anew since;
// but then whatever was put below came before what was found above, and is visible now that that is: so look again.
template <class Platform, class Store>
bool lane_reader<Platform, Store>::scan() noexcept {
  for (int tries = 0; tries < 1000; ++tries) {
    unsigned l = 0;
    std::uint64_t tail = 0;
    for (;;) {
      tail = lane_.tail[l].load(std::memory_order_acquire);
      const auto position = position_of(tail);
      if (!plausible(position, head_[l], geometry_.levels[l].capacity)) return broken_ = true, false;
      if (position != head_[l]) break;
      const unsigned next = link_of(tail);
      if (next == 0) return false;
      if (next <= l || next >= geometry_.count) return broken_ = true, false;
      l = next;
    }
    bool first = true;
    for (unsigned below = 0; below < l; ++below) first = first && drained(below);
    if (!first) continue;
    level_ = l;
    tail_seen_ = position_of(tail);
    return true;
  }
  return broken_ = true, false;  // no writer restarts its path so often while somebody reads
}

template <class Platform, class Store>
inline void lane_reader<Platform, Store>::pop() noexcept {
  Platform::fault("pipe_get", 3);
  head_[level_] += record_;
  position_ += record_;
  record_ = 0;
  lane_.head[level_].store(head_[level_], std::memory_order_release);
  Platform::fault("pipe_get", 4);
}

template <class Platform, class Store>
bool lane_reader<Platform, Store>::trim(unsigned l) noexcept {
  std::uint32_t expected = kept;
  if (lane_.use[l].load(std::memory_order_relaxed) != kept || !drained(l)) return false;
  if (!lane_.use[l].compare_exchange_strong(expected, trimming, std::memory_order_acq_rel)) return false;
  Platform::fault("pipe_trim", 1);
  const bool empty = drained(l);  // now for certain: the writer keeps away
  if (empty) store_.release(geometry_.levels[l].offset, geometry_.levels[l].capacity);
  Platform::fault("pipe_trim", 2);
  lane_.use[l].store(empty ? bare : kept, std::memory_order_release);
  Platform::fault("pipe_trim", 3);
  return true;  // also if not empty after all: the writer may have met `trimming` and gone to sleep
}

template <class Platform, class Store>
bool lane_reader<Platform, Store>::trim_all() noexcept {
  bool any = false;
  for (unsigned l = 1; l < geometry_.count; ++l) any = trim(l) || any;
  return any;
}

template <class Platform, class Store>
bool lane_reader<Platform, Store>::trimmable() const noexcept {
  for (unsigned l = 1; l < geometry_.count; ++l)
    if (lane_.use[l].load(std::memory_order_relaxed) == kept && drained(l)) return true;
  return false;
}

}  // namespace cloister::detail

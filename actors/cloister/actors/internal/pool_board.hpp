// SPDX-License-Identifier: BSD-3-Clause
// What a pool's thread and its workers show each other besides messages. Submitters have none of it.
//
// worker_page: of one worker, in a memory that only it and the pool's thread have, made anew for each: which letter it has, how far it is,
// and the results that it has not sent yet. It alone writes there, but for kill_at and looks_at. In the order in which they are stored:
//   lane, ticket       the letter that it has; ticket last, and 0 again when the letter is acknowledged
//   begun              items that it has begun
//   kill_at            0 between items; while one runs, when that one's time is over (never: the largest)
//   written            how many items are done, and how many bytes of frames (pool_wire.hpp) the results not sent yet take
//   flushed            how many of them were sent
// kill_at decides whose an item's end is: the worker exchanges 0 for it when the item has ended, the pool's thread `condemned` when it is to
// be killed. Who finds `condemned` waits for its death. looks_at is the pool's thread's: when it is going to look at kill_at again. Each
// stores its own, then loads the other's (sequentially consistent), so that one of them knows of a time that comes too soon.
// After a worker's death the pool's thread sends what is written and not flushed: at most what was sent before the words said so comes twice.
//
// pool_board: of all workers: what is cancelled, and how many are to end.
// Whatever stands here may have been written by anything that runs in a worker: everything is checked before it is used, and an item that
// is wrongly taken for cancelled is answered all the same.
#pragma once

#include <cloister/detail/memory.hpp>

#include <atomic>
#include <cstdint>
#include <limits>
#include <span>

namespace cloister::internal {

inline constexpr unsigned most_workers = 1024;
inline constexpr std::int64_t no_time_limit = std::numeric_limits<std::int64_t>::max();
inline constexpr std::int64_t condemned = -1;

enum class worker_life : std::uint32_t { starting, ready };
enum class why_left : std::uint32_t { unknown, surplus, queue_broken };

struct worker_record {
  std::atomic<std::uint64_t> lane, ticket;
  std::atomic<std::uint32_t> begun, flushed;
  std::atomic<std::uint64_t> written;  // done | bytes << 32
  std::atomic<std::int64_t> kill_at, looks_at;
  std::atomic<worker_life> life;
  std::atomic<why_left> left;

  static std::uint32_t done_of(std::uint64_t written) noexcept { return static_cast<std::uint32_t>(written); }
  static std::uint32_t bytes_of(std::uint64_t written) noexcept { return static_cast<std::uint32_t>(written >> 32); }
  /// That letter is the one that it has.
  bool has(std::uint64_t lane_of_it, std::uint64_t ticket_of_it) const noexcept {
    return ticket_of_it != 0 && ticket.load(std::memory_order_seq_cst) == ticket_of_it &&
           lane.load(std::memory_order_relaxed) == lane_of_it;
  }
};
static_assert(sizeof(worker_record) == 56);

class worker_page {
 public:
  static constexpr std::size_t bytes = 16 * 1024, buffer_bytes = bytes - 64;

  worker_page() = default;
  /// Throws `failure`: no_memory, no_descriptors.
  static worker_page create(const std::string& worker);
  static worker_page attach(owned_fd fd);

  int fd() const noexcept { return memory_.fd(); }
  /// When the worker has it.
  void close_fd() noexcept { memory_.close_fd(); }
  worker_record* operator->() const noexcept { return reinterpret_cast<worker_record*>(memory_.data()); }
  std::span<std::byte> buffer() const noexcept { return {memory_.data() + 64, buffer_bytes}; }

 private:
  explicit worker_page(detail::memory m) : memory_(std::move(m)) {}
  detail::memory memory_;
};

class pool_board {
 public:
  static constexpr std::size_t cancel_marks = std::size_t{1} << 18;

  /// Throws `failure`: no_memory, no_descriptors.
  static pool_board create(const std::string& name);
  static pool_board attach(owned_fd fd);

  int fd() const noexcept { return memory_.fd(); }
  /// How many workers are to end.
  bool take_surplus() const noexcept;
  void set_surplus(std::uint32_t workers) const noexcept { head().surplus.store(workers, std::memory_order_seq_cst); }

  /// The owner, one thread at a time: that ticket's letter is not to run. Idempotent. False: there is no place for the mark now.
  bool cancel(std::uint64_t lane, std::uint64_t ticket) noexcept;
  bool is_cancelled(std::uint64_t lane, std::uint64_t ticket) const noexcept { return find_mark(lane, ticket) != nullptr; }
  /// A worker has passed over it.
  void forget_cancelled(std::uint64_t lane, std::uint64_t ticket) const noexcept;

 private:
  struct header {
    std::atomic<std::uint32_t> surplus;
    std::atomic<std::uint32_t> cancelled;  // marks that are set, about; 0: none
  };
  // A mark stands in one of a few places that follow from it; their memory is reserved with the first.
  static constexpr std::size_t marks_at = 4096, all_bytes = marks_at + cancel_marks * sizeof(std::uint64_t), places = 32;
  static_assert(sizeof(header) <= marks_at);
  explicit pool_board(detail::memory m) : memory_(std::move(m)) {}
  header& head() const noexcept { return *reinterpret_cast<header*>(memory_.data()); }
  std::atomic<std::uint64_t>& mark(std::size_t place) const noexcept {
    return reinterpret_cast<std::atomic<std::uint64_t>*>(memory_.data() + marks_at)[place % cancel_marks];
  }
  std::atomic<std::uint64_t>* find_mark(std::uint64_t lane, std::uint64_t ticket) const noexcept;

  detail::memory memory_;
  bool has_marks_ = false;
  std::size_t next_overwritten_ = 0;
};

}  // namespace cloister::internal

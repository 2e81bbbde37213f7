// SPDX-License-Identifier: BSD-3-Clause
// Where a thread sleeps that waits for a supervisor actor, and how that one answers without a call into the process.
//
// A block of cells is memory of one process, and of the node's first one, which has the actors. A thread takes a cell for one wait at a
// time: it stores WAITING with a new ticket, sends its request with cell and ticket, and sleeps. The actor answers by one CAS from exactly
// that ticket, so that neither a late answer nor a late time-out can be taken for another; both decide on the same word.
//
//   waiter                                                   actor
//   WAITING(t) -- cancelled: CAS by the waiter               WAITING -> REGISTERED   you are in the queue; a second sleep follows
//   GRANTED -> ENTERED: it came out with what it got         WAITING or REGISTERED -> GRANTED or REFUSED, `value` says what
//
// Who dies: a waiter in GRANTED never came out of its call; one in ENTERED did. Its cell stays mapped as long as an actor knows it.
// Threads: each cell one waiter, one actor. Blocks: `sleep`, until its deadline or a stop.
#pragma once

#include <cloister/deadline.hpp>
#include <cloister/detail/event_count.hpp>
#include <cloister/detail/memory.hpp>
#include <cloister/detail/spin.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace cloister::detail {

enum class cell_state : std::uint32_t { idle, waiting, registered, granted, refused, entered, cancelled };

struct alignas(64) wait_cell {
  std::atomic<std::uint32_t> bell;   // futex; bumped after every change by the actor
  std::atomic<std::uint32_t> word;   // ticket:29 | state:3
  std::atomic<std::uint64_t> value;  // of the answer, stored before it

  static constexpr std::uint32_t most_tickets = 1U << 29;
  static constexpr std::uint32_t make(std::uint32_t ticket, cell_state s) { return ticket << 3 | static_cast<std::uint32_t>(s); }
  static constexpr cell_state state_of(std::uint32_t word) { return static_cast<cell_state>(word & 7); }

  /// One CAS. False: the cell is in another state, or has another ticket.
  bool change(std::uint32_t ticket, cell_state from, cell_state to) noexcept {
    auto expected = make(ticket, from);
    return word.compare_exchange_strong(expected, make(ticket, to), std::memory_order_seq_cst);
  }
  /// The actor's: the same with a value, and wakes the waiter.
  bool answer(std::uint32_t ticket, cell_state from, cell_state to, std::uint64_t value_to_tell = 0) noexcept;
  cell_state state(std::uint32_t ticket) const noexcept {
    const auto w = word.load(std::memory_order_seq_cst);
    return w >> 3 == ticket ? state_of(w) : cell_state::idle;
  }
};
static_assert(sizeof(wait_cell) == 64 && std::atomic<std::uint32_t>::is_always_lock_free);

/// One page: an object header and 62 cells. Made by the process that waits; the first process attaches it.
class cell_block {
 public:
  static constexpr std::size_t bytes = 4096;
  static constexpr unsigned cells = (bytes - sizeof(object_header)) / sizeof(wait_cell);
  static result<std::shared_ptr<cell_block>> create(std::uint64_t id);
  static result<std::shared_ptr<cell_block>> attach(memory from);
  wait_cell& cell(unsigned n) const noexcept { return reinterpret_cast<wait_cell*>(memory_.data() + sizeof(object_header))[n]; }
  int fd() const noexcept { return memory_.fd(); }

 private:
  explicit cell_block(memory m) : memory_(std::move(m)) {}
  memory memory_;
};

/// So that what it is added to does not overflow: a century.
inline constexpr std::int64_t longest_wait_ns = 3'000'000'000'000'000'000;

/// This process's cells. Threads: any.
class cell_pool {
 public:
  struct held {
    wait_cell* cell = nullptr;
    std::uint32_t number = 0;  // block * cell_block::cells + cell
    std::uint32_t ticket = 0;  // the last that was used there
  };
  /// A free cell; `lend` is called with a new block and its number when there is none, and throws if it cannot tell the hub. Throws
  /// `failure{timed_out}` while another thread does so.
  template <class Lend>
  held take(Lend lend, deadline until);
  void give_back(const held& h) noexcept;

 private:
  std::optional<held> take_free() noexcept;
  void add(std::shared_ptr<cell_block> block);

  std::timed_mutex lending_;                         // held while the hub is told of a block; before mutex_
  std::vector<std::shared_ptr<cell_block>> blocks_;  // guarded by lending_
  std::mutex mutex_;
  std::vector<held> free_;  // guarded by mutex_; has room for all cells
};

/// One wait: a cell with a new ticket, which is WAITING from the beginning. Given back at the end, whatever state it is in.
class waiting {
 public:
  waiting(cell_pool& pool, cell_pool::held cell) noexcept;
  ~waiting();
  waiting(const waiting&) = delete;
  waiting& operator=(const waiting&) = delete;

  std::uint32_t cell() const noexcept { return held_.number; }
  std::uint32_t ticket() const noexcept { return held_.ticket; }
  std::uint64_t value() const noexcept { return held_.cell->value.load(std::memory_order_acquire); }
  cell_state state() const noexcept { return held_.cell->state(held_.ticket); }
  bool change(cell_state from, cell_state to) noexcept { return held_.cell->change(held_.ticket, from, to); }
  /// Until the state is none of WAITING and `also`. timed_out or stopped: it still is, and so far nobody has decided.
  wait_status sleep(deadline until, cell_state also = cell_state::waiting, bool heed_stop = true);

 private:
  cell_pool& pool_;
  cell_pool::held held_;
};

// ---------------------------------------------------------------------------------------------------------------------

template <class Lend>
cell_pool::held cell_pool::take(Lend lend, deadline until) {
  if (const auto h = take_free()) return *h;
  const std::unique_lock one_by_one(lending_, std::chrono::nanoseconds(std::min(until.remaining_ns(), longest_wait_ns)));
  if (!one_by_one) throw failure(errc::timed_out, "the node's hub did not answer in time");
  for (;;) {
    if (const auto h = take_free()) return *h;
    const auto number = static_cast<std::uint32_t>(blocks_.size());
    auto block = cell_block::create(number).value();
    blocks_.reserve(number + 1);
    lend(*block, number);
    add(std::move(block));
  }
}

}  // namespace cloister::detail

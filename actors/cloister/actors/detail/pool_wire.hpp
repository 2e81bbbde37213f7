// SPDX-License-Identifier: BSD-3-Clause
// What lies in a pool's three queues of tasks, and what its workers answer.
//
// A task letter: task_head, the name (text), the function and what all its items have in common, then the items: if there is one, as it is;
// else for each its size in 4 bytes, then itself, in an encoding of its own.
// An answer: a letter_head (detail/letter.hpp) of kind `reply`, whose `key` is answer_key of the items that it is about, whose `until` says
// how many nanoseconds they took, and whose `reply_to` is answer_alone or answer_framed. Alone: 1 byte, 1 for a value, 0 for an `error` that is
// that of all the items; then that. Framed: for each item 4 bytes, twice the size, plus one for a value; then it, in an encoding of its own.
#pragma once

#include <cloister/wire.hpp>

#include <cstddef>
#include <cstdint>

namespace cloister::detail {

struct task_head {
  std::uint64_t code = 0;    ///< the number of the function's code (pool_code.hpp); 0: whoever takes it is to look around, no more
  std::uint64_t lane = 0;    ///< where the submitter hears of it
  std::uint64_t ticket = 0;  ///< its number for it
  std::uint64_t base = 0;    ///< of the call's items, which one is the letter's first
  std::int64_t run_ns = 0;   ///< how long an item may run; 0: as long as it likes
  std::uint32_t begin = 0;   ///< items before it are over
  std::uint32_t end = 0;
  std::uint16_t tries = 0;  ///< in how many workers item `begin` has ended in vain
  std::uint16_t most_tries = 1;
  std::uint32_t backoff_ms = 0;

  /// Whether a submitter can have put it at the beginning of a letter of that size, or the pool can have left it so.
  bool is_possible(std::size_t letter_bytes) const noexcept {
    return code == 0 || (begin < end && (end == 1 || end <= letter_bytes / sizeof(std::uint32_t)) && most_tries > 0 &&
                         backoff_ms <= most_backoff_ms);
  }
  static constexpr std::uint32_t most_backoff_ms = 3'600'000;
};
static_assert(is_flat<task_head> && sizeof(task_head) == 56);

inline constexpr std::uint64_t answer_framed = 0, answer_alone = 1;
constexpr std::uint64_t answer_key(std::uint32_t first, std::uint32_t count) noexcept { return std::uint64_t{first} << 32 | count; }

/// Words for the pool's thread.
struct pool_word {
  enum class what : std::uint32_t {
    look,
    cancel,  // mark that letter, and end the worker that runs it
    stop,    // only the latter: it is marked
  };
  what kind = what::look;
  std::uint32_t unused = 0;
  std::uint64_t lane = 0, ticket = 0;  // cancel
};
static_assert(is_flat<pool_word>);

/// Items in one letter.
inline constexpr std::size_t largest_chunk = std::size_t{1} << 20;
/// What the tasks of a pool that nobody has begun may take in each of its queues, and all results that a process has not read. Tests of what
/// is full make them smaller, before the queue is made.
inline std::size_t most_task_bytes = std::size_t{4} << 30, most_result_bytes = std::size_t{1} << 30;
inline constexpr std::uint64_t tasks_fingerprint = 0x74'61'73'6b'73;
/// Of a pool's three queues: those before the others, the usual one, and those that wait for idle workers.
inline constexpr unsigned urgent_queue = 0, normal_queue = 1, idle_queue = 2, pool_queues = 3;

}  // namespace cloister::detail

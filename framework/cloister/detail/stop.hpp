// SPDX-License-Identifier: BSD-3-Clause
// "This process was asked to stop", said from a signal handler and heard by every thread that sleeps.
//
// One flag a process. `request_stop` stores the reason and then wakes every thread that registered the futex word it
// sleeps on, by bumping that word; a thread registers *before* it reads its word and checks the flag, so a request
// either finds the registration or is seen by the check: no wake-up falls between them.
// Rule for callers: calls that take work check the flag on entry, calls that put only when they would sleep.
//
// Threads: any. Processes: all of it is private. A forked child inherits the flag, but neither sleepers nor descriptor.
#pragma once

#include <cloister/error.hpp>

#include <atomic>
#include <cstdint>
#include <optional>

namespace cloister::detail {

inline std::atomic<std::uint32_t> stop_word{0};  // 0 = none, else 1 + the errc; written by request_stop and clear_stop only

/// True once a stop was asked for. One load.
inline bool stop_requested() noexcept { return stop_word.load(std::memory_order_acquire) != 0; }
/// Why: errc::stopping, errc::interrupted, or nothing.
std::optional<errc> stop_reason() noexcept;

/// Asks all threads of this process to stop; the first reason stays. Async-signal-safe, never blocks, keeps errno.
void request_stop(errc reason) noexcept;
/// Forgets the request: for tests, and for a node that begins anew.
void clear_stop() noexcept;
/// A descriptor that is readable while a stop is requested, for epoll and poll; owned here, made on first use.
/// -1 if there is none left. Not async-signal-safe.
int stop_fd() noexcept;

/// One sleep of one thread: while it lives, a stop bumps `word` and wakes all who sleep on it.
/// REQUIRES: an extra increment of `word` is harmless to everybody who reads it; `word` outlives this object.
class sleep_registration {
 public:
  explicit sleep_registration(std::atomic<std::uint32_t>& word) noexcept;
  ~sleep_registration();
  sleep_registration(const sleep_registration&) = delete;
  sleep_registration& operator=(const sleep_registration&) = delete;

  /// False if the table was full: the caller then sleeps at most `slice_ns` at a time and checks the flag in between.
  bool registered() const noexcept { return slot_ >= 0; }
  static constexpr std::int64_t slice_ns = 50'000'000;

 private:
  int slot_;
};

/// The number of threads that can sleep registered at one time.
inline constexpr unsigned sleep_table_size = 128;

}  // namespace cloister::detail

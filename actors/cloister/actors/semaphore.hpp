// SPDX-License-Identifier: BSD-3-Clause
// Tokens that processes take and give back: how many may do something at once. Before you use one: to hand out work, or to count what is
// ready, put it on a queue; a bounded queue also limits how far anybody gets ahead. docs/synchronisation.md compares them.
//
//   semaphore slots{here, 3};
//   process p{here, [](semaphore s) { std::scoped_lock g{s}; ... }, slots};       // at most three of these at a time
//   slots.acquire();  ...  slots.release();
//
// A handle: copies name the same semaphore, and travel as arguments and in messages.
// Threads and processes: any of the node; tokens belong to processes, not to threads. Blocks: `acquire`, until there is a token;
// `failure{stopping}` when this process is asked to stop. With a token there, both cost a few atomic operations and no system call; from
// the 240th process on that holds a token of one semaphore at the same time, what that process does goes through the node's first one.
// Others may be faster than the first in the queue until it has been that for 1 ms. The tokens of a process that is killed, or fails, come
// back, whatever they stand for; those of one that ends normally, or lets go of its last handle, stay taken until somebody releases them. (A last
// handle that goes while an exception passes counts as a failure, also where that is caught.) Who releases gives back its own, or if it has
// none somebody else's.
#pragma once

#include <cloister/actors/detail/sync_handle.hpp>
#include <cloister/deadline.hpp>
#include <cloister/error.hpp>

#include <chrono>
#include <cstddef>
#include <string>

namespace cloister {

struct semaphore_options {
  std::string name = {};  ///< for error texts; at most 39 characters of it are kept
};

namespace detail {
/// What semaphore and bounded_semaphore have in common.
class token_handle : public sync_handle {
 public:
  static constexpr std::size_t most_tokens = (1U << 16) - 1;

  /// Waits for a token. Throws `failure`: stopping, interrupted, not_attached, gone, broken; no_descriptors and no_memory where there is
  /// none for waiting.
  void acquire() const;
  /// True if there was one. Throws what `acquire` throws, but for the waiting.
  bool try_acquire() const;
  /// `timed_out`, or as above.
  result<void> acquire(deadline until) const;
  template <class Rep, class Period>
  bool try_acquire_for(std::chrono::duration<Rep, Period> wait) const {
    return acquired_until(deadline(wait));
  }
  template <class Clock, class Duration>
  bool try_acquire_until(std::chrono::time_point<Clock, Duration> when) const {
    return acquired_until(deadline(when));
  }
  /// Gives tokens back, one after another; never waits. First those of this process; if it has none, one that a process left behind when
  /// it ended, or of whoever has most: so the one that acquires and the one that releases may be two. If nobody has any, there is one more
  /// than before; of a bounded semaphore that is `failure{invalid}`. Throws also not_attached, gone.
  void release(std::size_t tokens = 1) const;
  /// How many tokens are there now. A hint.
  std::size_t value() const;

  /// So that std::scoped_lock holds a token.
  void lock() const { acquire(); }
  bool try_lock() const { return try_acquire(); }
  void unlock() const { release(); }

 protected:
  token_handle() = default;
  token_handle(const place& where, std::size_t value, const semaphore_options& options, bool bounded);
  explicit token_handle(object_handle handle);

 private:
  bool acquired_until(deadline until) const;
};
}  // namespace detail

class [[nodiscard]] semaphore : public detail::token_handle {
 public:
  semaphore() = default;
  /// Throws `failure{invalid}` for more than `most_tokens`.
  [[nodiscard]] explicit semaphore(const place& where, std::size_t value = 1, const semaphore_options& options = {})
      : token_handle(where, value, options, false) {}

 private:
  friend struct detail::sync_codec<semaphore, detail::sync_kind::semaphore>;
  using token_handle::token_handle;
};

/// The same, but there are never more tokens than it began with: releasing one that nobody has is an error.
class [[nodiscard]] bounded_semaphore : public detail::token_handle {
 public:
  bounded_semaphore() = default;
  [[nodiscard]] explicit bounded_semaphore(const place& where, std::size_t value = 1, const semaphore_options& options = {})
      : token_handle(where, value, options, true) {}

 private:
  friend struct detail::sync_codec<bounded_semaphore, detail::sync_kind::bounded_semaphore>;
  using token_handle::token_handle;
};

template <>
struct codec<semaphore> : detail::sync_codec<semaphore, detail::sync_kind::semaphore> {};
template <>
struct codec<bounded_semaphore> : detail::sync_codec<bounded_semaphore, detail::sync_kind::bounded_semaphore> {};

}  // namespace cloister

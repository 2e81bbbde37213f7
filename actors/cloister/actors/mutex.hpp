// SPDX-License-Identifier: BSD-3-Clause
// A lock between processes, and between their threads. Before you use one: state that is guarded by a lock can be left half changed by a
// process that dies; state that one actor owns, and others ask for by messages (queue, actor), cannot. docs/synchronisation.md shows both.
//
//   mutex m{here};
//   process p{here, [](mutex shared) { std::scoped_lock g{shared}; ... }, m};
//   { std::scoped_lock g{m};  if (auto who = m.owner_died()) { ...put things right...; m.recovered(); } }
//
// A handle: copies name the same lock, and travel as arguments and in messages. Meets the standard's timed lockable requirements, so that
// std::scoped_lock, std::unique_lock and std::lock work (of one mutex twice they are a mistake, as with std's). Owner: a process and a thread of it; nobody else unlocks it.
//
// Threads and processes: any of the node. Blocks: `lock`, until the lock is this thread's; `failure{stopping}` when this process is asked to
// stop. A free lock costs two atomic operations and no system call. Whoever finds it taken spins a little and then queues at the node's
// first process; others may still be faster until the first in the queue has been it for 1 ms, then it is that one's turn.
// A thread that ends with the lock keeps it until its process ends, too. When an owner dies, or ends, or lets go of its last handle, the lock passes on, and `owner_died` says so to everybody who locks it,
// until one of them says `recovered`. A dead waiter is forgotten at once.
#pragma once

#include <cloister/actors/detail/sync_handle.hpp>
#include <cloister/deadline.hpp>
#include <cloister/error.hpp>
#include <cloister/monitor.hpp>

#include <chrono>
#include <optional>
#include <string>

namespace cloister {

/// What happens to a wait without deadline that closes a circle of such waits: each for a mutex that the next one owns.
enum class on_deadlock : std::uint8_t {
  wait,   ///< it waits. The circle is logged either way
  error,  ///< it is the error `deadlock`
};

struct mutex_options {
  std::string name = {};  ///< for error texts; at most 39 characters of it are kept
  cloister::on_deadlock on_deadlock = cloister::on_deadlock::wait;
};

namespace detail {
/// What mutex and recursive_mutex have in common.
class lock_handle : public sync_handle {
 public:
  /// Waits for it. Throws `failure`: deadlock (this thread has it, and it is not recursive; or see on_deadlock), stopping, interrupted,
  /// not_attached, gone, broken; no_descriptors and no_memory where there is none for waiting.
  void lock() const;
  /// True if it was free. Throws what `lock` throws, but for the waiting.
  bool try_lock() const;
  /// `timed_out`, or as above.
  result<void> lock(deadline until) const;
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> wait) const {
    return locked_until(deadline(wait));
  }
  template <class Clock, class Duration>
  bool try_lock_until(std::chrono::time_point<Clock, Duration> when) const {
    return locked_until(deadline(when));
  }
  /// Throws `failure{not_owner}` unless this thread has it. Never waits.
  void unlock() const;

  /// True if this thread has it.
  bool is_mine() const noexcept;
  /// True if anybody has it. A hint.
  bool is_locked() const;
  /// Who died, and how, while it owned the lock, if one did and nobody has called `recovered` since: for the owner, what the lock guards may be half
  /// changed. How is not known of one that let go of its last handle, as a body that returns or throws does, and has not ended yet. Asks the
  /// first process. Throws `failure`: not_owner, no_descriptors, stopping.
  std::optional<exit_notice> owner_died() const;
  /// What it guards is whole again: the next owner is told nothing. Throws `failure{not_owner}`.
  void recovered() const;

 protected:
  lock_handle() = default;
  lock_handle(const place& where, const mutex_options& options, sync_kind kind);
  explicit lock_handle(object_handle handle);

 private:
  bool locked_until(deadline until) const;
};
}  // namespace detail

class [[nodiscard]] mutex : public detail::lock_handle {
 public:
  mutex() = default;
  [[nodiscard]] explicit mutex(const place& where, const mutex_options& options = {})
      : lock_handle(where, options, detail::sync_kind::mutex) {}

 private:
  friend struct detail::sync_codec<mutex, detail::sync_kind::mutex>;
  using lock_handle::lock_handle;
};

/// The same, but the owner may lock it again; it is free when it has been unlocked as often.
class [[nodiscard]] recursive_mutex : public detail::lock_handle {
 public:
  recursive_mutex() = default;
  [[nodiscard]] explicit recursive_mutex(const place& where, const mutex_options& options = {})
      : lock_handle(where, options, detail::sync_kind::recursive_mutex) {}

 private:
  friend struct detail::sync_codec<recursive_mutex, detail::sync_kind::recursive_mutex>;
  using lock_handle::lock_handle;
};

template <>
struct codec<mutex> : detail::sync_codec<mutex, detail::sync_kind::mutex> {};
template <>
struct codec<recursive_mutex> : detail::sync_codec<recursive_mutex, detail::sync_kind::recursive_mutex> {};

}  // namespace cloister

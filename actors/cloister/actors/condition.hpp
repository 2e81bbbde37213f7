// SPDX-License-Identifier: BSD-3-Clause
// Waiting, with a mutex, until somebody says that what it guards has changed. Before you use one: a queue is the condition that something is
// there, with what is there in it, and it survives whoever puts and takes. docs/synchronisation.md shows the same buffer both ways.
//
//   mutex m{here};  condition changed{here, m};
//   { std::scoped_lock g{m};  changed.wait([&] { return ready(); });  ... }          // in one process
//   { std::scoped_lock g{m};  ...;  changed.notify_all(); }                           // in another
//
// A handle: copies name the same condition, and travel as arguments and in messages, with its mutex.
// Threads and processes: any of the node. Blocks: `wait`, with the mutex given up meanwhile; it has it again when it returns or throws, but
// for `gone`, `not_attached` and `broken`, when nobody can have it. To have it again is no reason for the error `deadlock`, whatever its options say.
// A wait without predicate ends only for a notification, its deadline or a stop. `notify` waits for nobody. A waiter that dies is forgotten,
// and a notification that it was given and did not come out with goes to another one that waited then.
#pragma once

#include <cloister/actors/detail/sync_handle.hpp>
#include <cloister/actors/mutex.hpp>
#include <cloister/deadline.hpp>
#include <cloister/error.hpp>

#include <concepts>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>

namespace cloister {

struct condition_options {
  std::string name = {};  ///< for error texts; at most 39 characters of it are kept
};

class [[nodiscard]] condition : public detail::sync_handle {
 public:
  condition() = default;
  [[nodiscard]] condition(const place& where, const mutex& with, const condition_options& options = {});
  [[nodiscard]] condition(const place& where, const recursive_mutex& with, const condition_options& options = {});

  /// Until it is notified. A recursive mutex is given up whole, and comes back as often locked as it was.
  /// Throws `failure`: not_owner (this thread does not have the mutex), stopping, interrupted, not_attached, gone, broken;
  /// no_descriptors and no_memory where there is none for waiting.
  void wait() const { wait(deadline::never()).value(); }
  /// As `wait_for`.
  template <class Predicate>
    requires std::predicate<Predicate&>
  void wait(Predicate holds) const { wait_for(std::move(holds)); }
  /// `timed_out`, or as above.
  result<void> wait(deadline until) const;
  /// Until `holds()`, which is called with the mutex held: at once, after each notification, and when the time is over.
  template <class Predicate>
  void wait_for(Predicate holds) const {
    while (!holds()) wait();
  }
  /// The same, or `timed_out` while it does not hold.
  template <class Predicate>
  result<void> wait_for(Predicate holds, deadline until) const;

  /// Ends the waits of `waiters` who wait now, the first first. Best called with the mutex held: a wait that begins at the same time may be
  /// missed otherwise. Throws `failure`: not_attached, gone; stopping and no_memory while the first process takes nothing.
  void notify(std::size_t waiters = 1) const;
  void notify_one() const { notify(1); }
  void notify_all() const { notify(std::numeric_limits<std::size_t>::max()); }

  /// Its mutex's, so that std::scoped_lock takes a condition, too.
  void lock() const { mutex_.lock(); }
  bool try_lock() const { return mutex_.try_lock(); }
  void unlock() const { mutex_.unlock(); }

 private:
  friend struct codec<condition>;
  /// The mutex, of either kind.
  struct any_mutex : detail::lock_handle {
    any_mutex() = default;
    any_mutex(const detail::lock_handle& m) : lock_handle(m) {}  // NOLINT(google-explicit-constructor)
    explicit any_mutex(detail::object_handle handle) : lock_handle(std::move(handle)) {}
    using sync_handle::object;
  };
  condition(detail::object_handle handle, any_mutex with) : sync_handle(std::move(handle)), mutex_(std::move(with)) {}

  any_mutex mutex_;
};

template <>
struct codec<condition> {
  static constexpr std::uint64_t fingerprint = 0x73'79'6e'63'00ULL + static_cast<std::uint64_t>(detail::sync_kind::condition);
  static void put(encoder& out, const condition& c);
  static condition get(decoder& in);
};

// ---------------------------------------------------------------------------------------------------------------------

template <class Predicate>
result<void> condition::wait_for(Predicate holds, deadline until) const {
  while (!holds()) {
    if (const auto notified = wait(until); !notified) {
      if (notified == errc::timed_out && holds()) return {};
      return notified;
    }
  }
  return {};
}

}  // namespace cloister

// SPDX-License-Identifier: BSD-3-Clause
// Sleeping and waking across processes, such that killing anybody anywhere loses no wake-up for good.
//
//   consumer: event.wait([&] { return try_take(); }, until);        producer: commit();  event.notify_one();
//
// One cache line in shared memory; all zeroes is its initial state. A notifier pays one fence and one line while nobody
// sleeps. `announced` counts those who meant to sleep, `cleared` how many of them are proven awake or gone: the proof is
// a FUTEX_WAKE that woke nobody after `seq` was bumped, for whoever had announced by then also read `seq` before the
// bump and cannot fall asleep on it. Both counters only grow (one counter reset to zero loses a wake-up between two
// notifiers). Nobody decrements anything, so a killed waiter costs one system call, once.
//
// Threads and processes: any number on both sides. When a process dies, whoever proves it calls notify_all: the victim
// may have been woken without acting on it, or have committed without notifying. Hostile bytes in it can delay or lose
// wake-ups of this one object, nothing else.
#pragma once

#include <cloister/deadline.hpp>
#include <cloister/detail/spin.hpp>
#include <cloister/detail/stop.hpp>
#include <cloister/fault.hpp>

#include <atomic>
#include <cstdint>
#include <type_traits>

#if defined(__SANITIZE_THREAD__)
#define CLOISTER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CLOISTER_TSAN 1
#endif
#endif

namespace cloister::detail {

enum class wait_status : std::uint8_t {
  ready,      ///< the attempt succeeded
  timed_out,  ///< the deadline passed, and a last attempt failed
  stopped,    ///< this process was asked to stop; the last attempt failed
};

/// Writes the bell: the descriptor that those who wait for many mailboxes poll. Given at attach time.
struct bell_ringer {
  void (*ring)(void*) noexcept = nullptr;
  void* self = nullptr;
};

/// A full (sequentially consistent) fence. ThreadSanitizer knows none: there, read-modify-writes stand in.
inline void full_fence() noexcept {
#ifndef CLOISTER_TSAN
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

/// What an event count needs of the world; tests put a scheduler here.
struct linux_platform {
  template <class T>
  using atom = std::atomic<T>;
  /// While it lives, a stop wakes those who sleep on the word.
  using sleeper = sleep_registration;

  static void fence() noexcept { full_fence(); }
  /// A fence, then a load that it orders.
  static std::uint64_t fenced_load(std::atomic<std::uint64_t>& a) noexcept;
  static bool stopped() noexcept { return stop_requested(); }
  static void fault(std::string_view operation, unsigned step) noexcept { fault_point(operation, step); }
  static bool faults() noexcept { return faults_armed.load(std::memory_order_relaxed); }
  /// Sleeps while `word == seen`, woken or not. False if the deadline passed.
  static bool sleep(std::atomic<std::uint32_t>& word, std::uint32_t seen, deadline until, const sleeper& me) noexcept;
  /// The number of threads woken.
  static int wake(std::atomic<std::uint32_t>& word, int at_most) noexcept;
  template <class Try>
  static bool spin(Try& attempt, deadline until, spin_budget& budget) {
    return spin_until(attempt, until, budget);
  }
};

template <class Platform>
class alignas(64) basic_event_count {
 public:
  /// Waits until `attempt()` returns true. Calls it before anything else, and again after every wake-up; it must be
  /// callable any number of times, may come to another end than success (broken, closed) by returning true as well, and
  /// must not wait. With a passed deadline it is called once. `budget` (private memory) says how long to spin; any
  /// threads may share one.
  /// Memory ordering: what was committed before the notification is visible to the attempt after it.
  template <class Try>
  wait_status wait(Try&& attempt, deadline until, spin_budget& budget = this_threads_spin_budget());

  /// After a commit: wakes one sleeper if there is any, and rings the bell if it is armed. No system call otherwise.
  void notify_one(const bell_ringer& ringer = {}) noexcept;
  /// After a commit that concerns everybody: wakes all who sleep, if there are any. No bell.
  void notify_waiting() noexcept;
  /// Wakes all, unconditionally, and rings a bell that was ever armed: after a death, at a close.
  void notify_all(const bell_ringer& ringer = {}) noexcept;
  /// For the look every 250 ms, if there is something to do: a stopped process may have swallowed a wake, or have
  /// stopped between disarming the bell and ringing it. Wakes one sleeper and rings a disarmed bell.
  void nudge(const bell_ringer& ringer = {}) noexcept;
  /// Before polling the bell: arm, then try, then poll. One ring for each arming.
  void arm_bell() noexcept;

  /// True if somebody announced a sleep and is not proven awake. A hint.
  bool has_sleepers() const noexcept;
  /// The same, or somebody polls the bell: who polls announces no sleep. A hint.
  bool awaited() const noexcept { return has_sleepers() || bell_.load(std::memory_order_seq_cst) == armed; }

 private:
  enum bell_state : std::uint32_t { none = 0, armed = 1, disarmed = 2 };
  void wake_one(std::uint64_t seen_announced) noexcept;
  void ring(const bell_ringer& ringer) noexcept;

  template <class T>
  using atom = typename Platform::template atom<T>;
  atom<std::uint32_t> seq_{0};   // the futex; bumped by every notification that may have somebody to wake
  atom<std::uint32_t> bell_{0};  // bell_state
  atom<std::uint64_t> announced_{0};
  atom<std::uint64_t> cleared_{0};
};

/// In shared memory (docs/formats.md, "event count").
using event_count = basic_event_count<linux_platform>;
static_assert(sizeof(event_count) == 64 && alignof(event_count) == 64 && std::is_standard_layout_v<event_count>);
static_assert(std::atomic<std::uint32_t>::is_always_lock_free && std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(sizeof(std::atomic<std::uint32_t>) == 4 && sizeof(std::atomic<std::uint64_t>) == 8);

// ---------------------------------------------------------------------------------------------------------------------

inline std::uint64_t linux_platform::fenced_load(std::atomic<std::uint64_t>& a) noexcept {
#ifdef CLOISTER_TSAN
  return a.fetch_add(0);
#else
  full_fence();
  return a.load(std::memory_order_relaxed);
#endif
}

// Memory ordering of wait against notify_one: commit; fence; load announced | add announced; fence; attempt. The two
// fences are ordered one way or the other, so the notifier sees the announcement or the attempt sees the commit.
// `seq_` is read before announcing: a notifier that saw the announcement bumps a `seq_` that was read before, so the
// sleep refuses. The registration precedes the reading of `seq_` and of the stop flag for the same reason (stop.hpp).
template <class Platform>
template <class Try>
wait_status basic_event_count<Platform>::wait(Try&& attempt, deadline until, spin_budget& budget) {
  if (attempt()) return wait_status::ready;
  if (until.has_passed()) return wait_status::timed_out;
  if (Platform::stopped()) return wait_status::stopped;
  if (Platform::spin(attempt, until, budget)) return wait_status::ready;
  const sleep_clock waiting(budget);
  const typename Platform::sleeper me(seq_);
  for (;;) {
    const std::uint32_t seen = seq_.load(std::memory_order_seq_cst);
    if (Platform::stopped()) return wait_status::stopped;
    Platform::fault("wait", 1);
    announced_.fetch_add(1, std::memory_order_seq_cst);
    Platform::fence();
    Platform::fault("wait", 2);
    if (attempt()) return wait_status::ready;
    const bool in_time = Platform::sleep(seq_, seen, until, me);
    Platform::fault("wait", 3);
    if (attempt()) return wait_status::ready;
    if (!in_time) return wait_status::timed_out;
  }
}

template <class Platform>
inline void basic_event_count<Platform>::notify_one(const bell_ringer& ringer) noexcept {
  Platform::fault("notify", 1);
  const std::uint64_t announced = Platform::fenced_load(announced_);
  if (announced != cleared_.load(std::memory_order_relaxed)) [[unlikely]]
    wake_one(announced);
  if (bell_.load(std::memory_order_relaxed) == armed) [[unlikely]]
    ring(ringer);
}

template <class Platform>
void basic_event_count<Platform>::wake_one(std::uint64_t seen_announced) noexcept {
  seq_.fetch_add(1, std::memory_order_seq_cst);
  Platform::fault("notify", 2);
  const int woken = Platform::wake(seq_, 1);
  Platform::fault("notify", 3);
  if (woken != 0) return;
  auto cleared = cleared_.load(std::memory_order_relaxed);
  while (cleared < seen_announced && !cleared_.compare_exchange_weak(cleared, seen_announced, std::memory_order_seq_cst)) {}
}

template <class Platform>
void basic_event_count<Platform>::ring(const bell_ringer& ringer) noexcept {
  if (ringer.ring == nullptr) return;  // stays armed for somebody who can ring
  std::uint32_t expected = armed;
  if (!bell_.compare_exchange_strong(expected, disarmed, std::memory_order_seq_cst)) return;
  Platform::fault("notify", 4);
  ringer.ring(ringer.self);
}

template <class Platform>
void basic_event_count<Platform>::notify_waiting() noexcept {
  const std::uint64_t seen = Platform::fenced_load(announced_);
  auto cleared = cleared_.load(std::memory_order_relaxed);
  if (seen == cleared) return;
  seq_.fetch_add(1, std::memory_order_seq_cst);
  Platform::wake(seq_, 0x7fffffff);
  // All of them were woken, or cannot fall asleep on the old number.
  while (cleared < seen && !cleared_.compare_exchange_weak(cleared, seen, std::memory_order_seq_cst)) {}
}

template <class Platform>
void basic_event_count<Platform>::notify_all(const bell_ringer& ringer) noexcept {
  Platform::fence();
  seq_.fetch_add(1, std::memory_order_seq_cst);
  Platform::wake(seq_, 0x7fffffff);
  if (ringer.ring == nullptr || bell_.load(std::memory_order_seq_cst) == none) return;
  bell_.store(disarmed, std::memory_order_seq_cst);
  ringer.ring(ringer.self);
}

template <class Platform>
void basic_event_count<Platform>::nudge(const bell_ringer& ringer) noexcept {
  notify_one(ringer);
  if (ringer.ring != nullptr && bell_.load(std::memory_order_relaxed) == disarmed) ringer.ring(ringer.self);
}

template <class Platform>
void basic_event_count<Platform>::arm_bell() noexcept {
  bell_.exchange(armed, std::memory_order_seq_cst);
  Platform::fence();
}

template <class Platform>
bool basic_event_count<Platform>::has_sleepers() const noexcept {
  return announced_.load(std::memory_order_seq_cst) != cleared_.load(std::memory_order_seq_cst);
}

}  // namespace cloister::detail

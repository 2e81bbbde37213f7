// SPDX-License-Identifier: BSD-3-Clause
// How long to try again before sleeping: adaptive, and never on a machine with one CPU.
//
// Sleeping and being woken costs 10 to 50 us; looking again costs nothing but the CPU. So a waiter spins for as long as
// recent waits suggest: waits that ended within `long_ns` make it spin longer, up to that; longer ones make it give up
// sooner, down to `short_ns`. An idle reader thus pays 2 us per message, a busy one never sleeps. `long_ns` is more than
// being woken takes on both sides, or two who have slept once would make each other sleep for ever.
// After `politely_after_ns`, or at once if this process is bound to one CPU, it offers the CPU to others between looks.
//
// A spin_budget lives in private memory, one per handle or thread; any threads may share it (relaxed atomics: a hint).
#pragma once

#include <cloister/deadline.hpp>

#include <atomic>
#include <cstdint>

namespace cloister::detail {

class spin_budget {
 public:
  static constexpr std::int32_t short_ns = 2'000;
  static constexpr std::int32_t long_ns = 100'000;
  static constexpr std::int32_t politely_after_ns = 4'000;

  /// Nanoseconds to spin now; 0 with one CPU or with spinning switched off.
  std::int32_t now_ns() const noexcept { return spinning_allowed() ? ns_.load(std::memory_order_relaxed) : 0; }
  /// A wait ended after `ns` in all.
  void learn(std::int64_t ns) noexcept;

  /// For tests: without spinning every wait sleeps. Process-wide, any thread.
  static void set_spinning(bool on) noexcept { allowed().store(on && cpus() > 1, std::memory_order_relaxed); }
  /// The CPUs of the machine that are online, as found at the first wait.
  static int cpus() noexcept;
  /// Spin this long before offering the CPU to others.
  static std::int32_t impolite_ns() noexcept;

 private:
  static std::atomic<bool>& allowed() noexcept;
  static bool spinning_allowed() noexcept { return allowed().load(std::memory_order_relaxed); }
  std::atomic<std::int32_t> ns_{long_ns};
};

spin_budget& this_threads_spin_budget() noexcept;

/// Measures a wait that went to sleep, and teaches the budget.
class sleep_clock {
 public:
  explicit sleep_clock(spin_budget& budget) noexcept : budget_(budget), began_(deadline::now()) {}
  ~sleep_clock() { budget_.learn(deadline::now() - began_ + spin_budget::short_ns); }
  sleep_clock(const sleep_clock&) = delete;
  sleep_clock& operator=(const sleep_clock&) = delete;

 private:
  spin_budget& budget_;
  std::int64_t began_;
};

void yield_cpu() noexcept;

/// Fetches a cache line that will be written to: from another processor it comes once, not first to be read.
inline void prefetch_for_writing(const void* at) noexcept {
#if defined(__x86_64__)
  asm volatile("prefetchw %0"
               :
               : "m"(*static_cast<const char*>(at)));  // a no-op where there is none; __builtin_prefetch needs -mprfchw
#else
  __builtin_prefetch(at, 1);
#endif
}

inline void cpu_relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

/// For a writer that found no room: waits a moment, as long as readers get on, until `counter`, which they raise, has risen by `enough`.
/// Writers and readers that pass every single place on spend their time waiting for its cache line; looking rarely leaves it to them.
inline void await_batch(const std::atomic<std::uint64_t>& counter, std::uint64_t enough, deadline until) noexcept {
  if (spin_budget::cpus() == 1) return;
  const std::uint64_t began = counter.load(std::memory_order_relaxed);
  for (int looks = 0; looks < 16; ++looks) {
    const auto risen = counter.load(std::memory_order_relaxed) - began;
    if (risen >= enough || (looks == 2 && risen == 0) || until.has_passed()) return;
    for (int i = 0; i < 32; ++i) cpu_relax();  // 1 to 2 us
  }
}

/// Calls `attempt` until it returns true (then true) or the budget is used up.
template <class Try>
bool spin_until(Try& attempt, deadline until, spin_budget& budget) {
  const std::int32_t allowed = budget.now_ns();
  if (allowed == 0) return false;
  std::int64_t began = 0;
  for (;;) {
    for (int i = 0; i < 16; ++i) {  // some 100 to 500 ns between looks at the clock
      cpu_relax();
      if (attempt()) {
        budget.learn(0);
        return true;
      }
    }
    const auto now = deadline::now();
    if (began == 0) began = now;
    if (now - began >= allowed || until.has_passed()) return false;
    if (now - began >= spin_budget::impolite_ns()) yield_cpu();
  }
}

}  // namespace cloister::detail

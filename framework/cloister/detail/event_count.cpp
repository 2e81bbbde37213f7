// SPDX-License-Identifier: BSD-3-Clause
// The two futex calls, and what a spinning waiter learns.
#include <cloister/detail/event_count.hpp>

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>

namespace cloister::detail {

template class basic_event_count<linux_platform>;

bool linux_platform::sleep(std::atomic<std::uint32_t>& word, std::uint32_t seen, deadline until, const sleeper& me) noexcept {
  deadline wake_up = until;
  if (!me.registered()) wake_up = std::min(wake_up, deadline(std::chrono::nanoseconds(sleep_registration::slice_ns)));
  timespec at{};
  const timespec* timeout = nullptr;
  if (!wake_up.is_never()) {
    at = wake_up.as_timespec();
    timeout = &at;
  }
  // WAIT_BITSET, because its timeout is absolute on CLOCK_MONOTONIC. Not FUTEX_PRIVATE: other processes wake us.
  const auto r = ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, seen, timeout, nullptr, FUTEX_BITSET_MATCH_ANY);
  return !(r != 0 && errno == ETIMEDOUT && until.has_passed());
}

int linux_platform::wake(std::atomic<std::uint32_t>& word, int at_most) noexcept {
  return static_cast<int>(::syscall(SYS_futex, &word, FUTEX_WAKE, at_most, nullptr, nullptr, 0));
}

void spin_budget::learn(std::int64_t ns) noexcept {
  const auto now = ns_.load(std::memory_order_relaxed);
  ns_.store(ns <= long_ns ? std::min(long_ns, now * 2) : std::max(short_ns, now / 2), std::memory_order_relaxed);
}

int spin_budget::cpus() noexcept {
  static const auto count = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  return count;
}

std::int32_t spin_budget::impolite_ns() noexcept {
  static const bool bound = [] {
    cpu_set_t set;
    CPU_ZERO(&set);
    return ::sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1;
  }();
  return bound ? 0 : politely_after_ns;
}

void yield_cpu() noexcept { ::sched_yield(); }

std::atomic<bool>& spin_budget::allowed() noexcept {
  static std::atomic<bool> on{cpus() > 1};
  return on;
}

spin_budget& this_threads_spin_budget() noexcept {
  thread_local spin_budget budget;
  return budget;
}

}  // namespace cloister::detail

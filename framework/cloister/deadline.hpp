// SPDX-License-Identifier: BSD-3-Clause
// A point in time until which a call may wait, made from any duration or time point.
//
//   q.get(1s);   q.get(std::chrono::steady_clock::now() + 20ms);   q.get(std::chrono::nanoseconds::max());  // for ever
//
// A plain value on CLOCK_MONOTONIC, in nanoseconds. It saturates: a duration too long to add means "for ever",
// a negative or past one means "now". A time point of another clock is converted once, when the call is made.
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>
#include <limits>

namespace cloister {

class deadline {
 public:
  /// For ever.
  constexpr deadline() = default;
  static constexpr deadline never() { return {}; }
  /// Already passed: the call tries once.
  static constexpr deadline passed() { return deadline(at_tag{}, 0); }
  /// At a CLOCK_MONOTONIC time in nanoseconds; the largest: for ever.
  static constexpr deadline at(std::int64_t ns) { return deadline(at_tag{}, ns); }
  constexpr std::int64_t at_ns() const noexcept { return at_; }

  template <class Rep, class Period>
  deadline(std::chrono::duration<Rep, Period> wait) : at_(after(wait)) {}  // NOLINT(google-explicit-constructor)
  template <class Clock, class Duration>
  deadline(std::chrono::time_point<Clock, Duration> when)  // NOLINT(google-explicit-constructor)
      : at_(after(std::chrono::duration<double>(when.time_since_epoch()) -
                  std::chrono::duration<double>(Clock::now().time_since_epoch()))) {}

  constexpr bool is_never() const noexcept { return at_ == forever; }
  bool has_passed() const noexcept { return at_ != forever && now() >= at_; }
  /// Nanoseconds left, 0 if it has passed, int64 max if it never does.
  std::int64_t remaining_ns() const noexcept;
  /// The same in milliseconds for poll(2): rounded up, -1 for ever, at most one day.
  int remaining_ms() const noexcept;
  /// Absolute CLOCK_MONOTONIC time. REQUIRES: !is_never().
  timespec as_timespec() const noexcept {
    return {static_cast<time_t>(at_ / 1'000'000'000), static_cast<long>(at_ % 1'000'000'000)};
  }

  friend constexpr bool operator==(deadline, deadline) = default;
  friend constexpr auto operator<=>(deadline a, deadline b) { return a.at_ <=> b.at_; }

  /// CLOCK_MONOTONIC in nanoseconds.
  static std::int64_t now() noexcept;

 private:
  struct at_tag {};
  constexpr deadline(at_tag, std::int64_t at) : at_(at) {}
  static constexpr std::int64_t forever = std::numeric_limits<std::int64_t>::max();
  template <class Rep, class Period>
  static std::int64_t after(std::chrono::duration<Rep, Period> wait);

  std::int64_t at_ = forever;
};

// ---------------------------------------------------------------------------------------------------------------------

inline std::int64_t deadline::now() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

inline std::int64_t deadline::remaining_ns() const noexcept {
  if (is_never()) return forever;
  const auto left = at_ - now();
  return left > 0 ? left : 0;
}

inline int deadline::remaining_ms() const noexcept {
  if (is_never()) return -1;
  const auto ms = remaining_ns() / 1'000'000 + (remaining_ns() % 1'000'000 != 0);
  return ms > 86'400'000 ? 86'400'000 : static_cast<int>(ms);
}

template <class Rep, class Period>
std::int64_t deadline::after(std::chrono::duration<Rep, Period> wait) {
  using namespace std::chrono;
  // In double first: nanoseconds::max(), hours::max() and floating durations all saturate without overflow.
  const double ns = duration<double, std::nano>(wait).count();
  if (!(ns > 0)) return 0;           // negative, zero or NaN: now
  if (ns >= 4.0e18) return forever;  // some 126 years
  return now() + duration_cast<nanoseconds>(wait).count();
}

}  // namespace cloister

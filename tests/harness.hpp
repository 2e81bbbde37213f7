// SPDX-License-Identifier: BSD-3-Clause
// What every test includes: Catch2 (2.13 or 3.x), and the few things that tests of processes need.
//
//   TEST_CASE("a get on a closed queue returns closed", "[deadline:20]") { ... }
//
// Each case ends by a deadline (60 s, or the tag's seconds; four times that under a sanitizer): a line with its name and where
// the main thread stood, then _exit(3). Children made here die with their test.
// A test starts no thread before it forks; cases share nothing, and each must pass alone: ctest runs every one in a process of its own.
#pragma once

#include <cloister/deadline.hpp>
#include <cloister/error.hpp>

#if __has_include(<catch2/catch_test_macros.hpp>)
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace cloister {
class node;
}

namespace harness {

/// The node of a test program whose main has one (cloister_test(... NODE)).
extern const cloister::node* here;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;
#elif defined(__has_feature)
inline constexpr bool sanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
inline constexpr bool sanitized = false;
#endif
/// For counts and times that a sanitizer would make too long: `500 / slowdown`.
inline constexpr int slowdown = sanitized ? 4 : 1;

/// Runs the cases that the arguments name; what main returns.
int run_tests(int argc, char** argv);

/// A plain fork of this test, not a process of the library: for everything below it. Killed and reaped at the latest by its
/// destructor, and by the kernel when the test dies. One thread at a time.
/// The body's exceptions, failed REQUIREs among them, end it with 1 (a failed CHECK does not); `false` ends it with 1, an int with that code.
class child {
 public:
  template <class Body>
  explicit child(Body body) : pid_(fork_and_run([&body]() -> int { return code_of(body); })) {}
  child(child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  child& operator=(child&&) = delete;
  ~child();

  pid_t pid() const noexcept { return pid_; }
  /// Blocks until it has ended; the case's deadline is the limit.
  cloister::exit_status wait();
  /// Blocks until it has stopped (true: SIGSTOP, a fault point) or ended (false).
  bool wait_stopped() const;
  void signal(int number) const;
  void kill();  ///< SIGKILL, and reap

 private:
  template <class Body>
  static int code_of(Body& body);
  static pid_t fork_and_run(const std::function<int()>& body);
  pid_t pid_;
};

/// Runs `body` in a child and says how that ended.
template <class Body>
cloister::exit_status forked(Body body) {
  return child(std::move(body)).wait();
}

/// True as soon as `holds()` is, false if it is not within `limit`. Only where there is nothing to wait on.
template <class Condition>
bool eventually(Condition holds, cloister::deadline limit = std::chrono::seconds(10)) {
  while (!holds()) {
    if (limit.has_passed()) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

/// The open descriptors of this process with what each is, "5 -> /memfd:tasks": equal before and after where nothing leaks.
std::vector<std::string> open_descriptors();
/// The processes whose parent this process is, zombies included.
std::vector<pid_t> child_processes();
/// The letter of proc(5): 'R' running, 'S' asleep, 'T' stopped, 'Z' zombie, or 0 if there is no such process.
char process_state(pid_t pid);
/// True while the main thread of `pid` sleeps in the kernel: for tests that need it asleep before they go on.
bool asleep(pid_t pid);

// ---------------------------------------------------------------------------------------------------------------------

template <class Body>
int child::code_of(Body& body) {
  using value = decltype(body());
  if constexpr (std::is_void_v<value>) {
    body();
    return 0;
  } else if constexpr (std::is_same_v<value, bool>) {
    return body() ? 0 : 1;
  } else {
    return body();
  }
}

}  // namespace harness

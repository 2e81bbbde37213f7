// SPDX-License-Identifier: BSD-3-Clause
// For tests that your program survives: kill its processes, now or at a chosen message; wait until a tree of supervisors is as it should
// be; ask who was restarted; find what was left behind. Works with any test framework; examples/survival_test.cpp shows it with Catch2.
//
//   const testing::time_limit limit("the crawler survives", 30s);              // or the program ends, and says so
//   testing::leak_check leaks;
//   {
//     supervisor s{here, {.intensity = 100}};
//     testing::recorder seen(s);
//     const testing::planned_death at_third = testing::at_message(3);          // once: its successor lives
//     s.start_child(at_third.in({.id = "worker"}), work, jobs);
//     testing::kill_child(s, "other");
//     CHECK(testing::whole(s));                                                // waits: all children run
//     CHECK(seen.restarted() == std::vector<std::string>{"other", "worker"});
//   }
//   CHECK(leaks.found() == "");
//
// In the first process of a node; one thread, but for what says otherwise. Waiting functions wait up to `patience` unless told, and then
// say false.
#pragma once

#include <cloister/deadline.hpp>
#include <cloister/fault.hpp>
#include <cloister/queue.hpp>
#include <cloister/supervision.hpp>
#include <cloister/supervisor.hpp>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cloister::testing {

inline constexpr std::chrono::seconds patience{10};

/// Sends the process of child `id` a signal, and returns which process that was; it may just have ended by itself. Throws `failure`:
/// not_found, not_started (it has none now).
process_id kill_child(const supervisor& s, const std::string& id, int signal = SIGKILL);
/// The same for the n-th child, the oldest being 0.
process_id kill_child(const supervisor& s, std::size_t n, int signal = SIGKILL);
/// SIGSTOP and SIGCONT: a stopped process does nothing, and hears nothing but SIGKILL.
inline process_id stop_child(const supervisor& s, const std::string& id) { return kill_child(s, id, SIGSTOP); }
inline process_id continue_child(const supervisor& s, const std::string& id) { return kill_child(s, id, SIGCONT); }

/// Waits until `condition()` is true; false if it does not become so in time. A condition that throws a std::exception
/// is not true.
bool eventually(const std::function<bool()>& condition, deadline until = patience);
/// Waits until each child of `s`, and of the supervisors within it, is running, except those that are not to be (transient or temporary
/// ones that have ended normally are no loss).
bool whole(const supervisor& s, deadline until = patience);
/// Waits until child `id` runs in another process than `before`.
bool replaced(const supervisor& s, const std::string& id, const process_id& before, deadline until = patience);

/// The death of a child at a step of an operation, once: of its first process that gets there; later ones live.
class [[nodiscard]] planned_death {
 public:
  explicit planned_death(fault what);
  planned_death(planned_death&&) noexcept = default;
  planned_death& operator=(planned_death&&) = delete;
  ~planned_death();
  /// The options of the child that is to die. Its process must be started by forkserver or spawn.
  child_options in(child_options options) const;
  /// No process has armed it yet.
  bool pending() const;

 private:
  struct token;
  std::unique_ptr<token> token_;
  fault what_;
};
/// Killed when it has taken its k-th message (from 1) from any queue, before it has it.
[[nodiscard]] planned_death at_message(unsigned k, fault_action action = fault_action::kill);

/// Everything that is reported under a supervisor from now on.
class recorder {
 public:
  explicit recorder(const supervisor& s);
  recorder(const recorder&) = delete;
  recorder& operator=(const recorder&) = delete;

  /// What has come until now, oldest first.
  const std::vector<supervision_report>& reports();
  /// The children that were started again, in order, each as often as it was, those that others took along too: "id", of a supervisor
  /// within another "inner/id".
  std::vector<std::string> restarted();
  std::size_t restarts_of(const std::string& id);
  /// Waits until `id` has been restarted at least so often.
  bool await_restarts(const std::string& id, std::size_t times, deadline until = patience);

 private:
  queue<supervision_report> queue_;
  std::vector<supervision_report> reports_;
};

/// Ends the program with exit code 3 and a line that says which test hangs, unless it is destroyed in time.
class [[nodiscard]] time_limit {
 public:
  time_limit(std::string test, std::chrono::nanoseconds limit);
  ~time_limit();
  time_limit(const time_limit&) = delete;
  time_limit& operator=(const time_limit&) = delete;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

/// What there is now and was not when it was made: processes of this node, descriptors of this process, reserved shared memory.
class leak_check {
 public:
  leak_check();
  /// A line for each kind of leak; empty if there is none. Waits until there is none, or that long.
  std::string found(deadline until = patience) const;

 private:
  struct counts {
    std::size_t processes = 0, shared_bytes = 0;
    std::map<std::string, std::size_t> descriptors;  // by what they are
  };
  static counts now();
  counts before_;
};

}  // namespace cloister::testing

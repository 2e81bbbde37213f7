// SPDX-License-Identifier: BSD-3-Clause
// Dying and stopping on purpose, at an exact step of an operation: for tests that a program survives.
//
//   process p{here, [](queue<int> q) { inject_fault({.operation = "put", .step = 4}); q.put(1); }, q};   // killed half-way through the put
//
// Each operation that touches shared memory passes numbered steps (docs/testing.md lists them); `fault_steps("put")`
// says how many. A fault belongs to the process that injected it and is not inherited by the processes it starts.
// Threads: any. Cost while no fault is armed: one load and one branch a step.
#pragma once

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

namespace cloister {

enum class fault_action : unsigned char {
  kill,  ///< SIGKILL to oneself: the process ends at this step and runs nothing more
  stop,  ///< SIGSTOP to oneself: the process hangs at this step until somebody sends SIGCONT
};

struct fault {
  std::string operation;  ///< "put", "get", "ack", "wait", "notify", "close", "repair", ...
  unsigned step = 1;      ///< 1 to fault_steps(operation)
  fault_action action = fault_action::kill;
  unsigned skip = 0;  ///< let that step pass so many times first
};

/// Arms `f` in this process, in addition to those already armed. Throws `failure{errc::invalid}` for an unknown operation or step.
void inject_fault(fault f);
/// Disarms all faults of this process.
void clear_faults();
/// The number of steps of an operation; 0 if there is no such operation.
unsigned fault_steps(std::string_view operation);
/// All operations that have steps.
std::vector<std::string_view> fault_operations();

namespace detail {
inline std::atomic<bool> faults_armed{false};
void fault_hit(std::string_view operation, unsigned step) noexcept;

/// Marks step `step` of `operation`. The table in fault.cpp names every pair in use; a test compares it with the code.
inline void fault_point(std::string_view operation, unsigned step) noexcept {
  if (faults_armed.load(std::memory_order_relaxed)) [[unlikely]]
    fault_hit(operation, step);
}
}  // namespace detail
}  // namespace cloister

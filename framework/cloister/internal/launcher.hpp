// SPDX-License-Identifier: BSD-3-Clause
// The launcher: a small single-threaded process that forks new processes and reaps them, so that nothing ever forks a process
// that has threads, and nothing is ever a zombie.
//
// Forked by `node` before any thread exists; executed anew if threads were there already, or if it died. Should it have threads then,
// because the program starts them before its node, it executes every process. It reads launch
// requests from the hub and writes reports. In its loop, and between fork and exec or child_main, it calls async-signal-safe functions
// only: it never allocates. On end-of-file of its socket (the first process is gone) it kills its children until none is left.
#pragma once

#include <cloister/fd.hpp>
#include <cloister/internal/control.hpp>

#include <span>

namespace cloister::internal {

/// What the launcher and every process started by exec inherit from the first process.
struct launcher_context {
  int socket = -1;      ///< to the hub
  int life = -1;        ///< reading end of the life pipe
  int executable = -1;  ///< the running program, even if its file was replaced
  char** argv = nullptr;
  unsigned long file_limit = 0;  ///< the soft limit of open files that children get back
  // For execute_launcher: as they were when the node began. The program's threads may change them meanwhile.
  char** environment = nullptr;
  int directory = -1;
  unsigned file_mask = 0;
};

/// The loop; does not return.
[[noreturn]] void launcher_main(const launcher_context& context);

/// Starts a launcher by executing the program anew, from a process that may have threads. `socket` is its end.
/// Throws `failure{not_started}`. Returns its pid.
pid_t execute_launcher(const launcher_context& context);

/// In a launcher to be, before launcher_main: whatever may allocate. Runs the hooks; one that throws ends the process, for nothing may
/// get from here into the program's main.
void prepare_launcher(std::span<void (*const)()> hooks) noexcept;

/// Called first by `node`: if this process was executed to be a launcher or a started process, becomes it and does not return.
void become_what_was_executed(char** argv, std::span<void (*const)()> preload);

}  // namespace cloister::internal

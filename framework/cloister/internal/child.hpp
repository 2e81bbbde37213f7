// SPDX-License-Identifier: BSD-3-Clause
// The start and the end of a started process, from the moment after fork or exec to _exit.
#pragma once

#include <cloister/detail/membership.hpp>
#include <cloister/fd.hpp>

#include <functional>
#include <span>

namespace cloister::internal {

/// The exit code of a process that ends before it said hello: nothing of its body has run.
inline constexpr int never_ran = 127;

/// The hub's part of what a new process is sent; the encoded start_block follows.
struct child_header {
  detail::process_identity identity;
};

/// Becomes the process that `block` (an encoded child_header and start_block) describes: arms the life pipe, says hello, applies limits,
/// attaches the handles, runs the body, ends. `fds`: control socket, then what the block says; they and `life` are its own from now on.
[[noreturn]] void child_main(std::span<const std::byte> block, std::span<const int> fds, int life);

/// Makes the kernel kill this process when the first process of the node is gone: the descriptor that does it. Empty if it cannot be
/// made; this process must not run then. Ends the process if the first one is gone already. Async-signal-safe.
owned_fd arm_life_pipe(int life) noexcept;

/// Runs the encoded body of a request in a fork of the process that made it.
void run_encoded(const detail::start_request& request);

/// Runs `body` as the body of this process, reports an exception, joins children, flushes, and ends the process.
[[noreturn]] void run_and_exit(const std::function<void()>& body) noexcept;

/// Applies the limits, environment and directory that `block` asks for. Throws `failure{not_started}`.
void settle_in(const detail::start_block& block);

/// A tag that everything this process starts inherits, also daemons that exec: an otherwise unused limit (see the hub's strays).
void tag_process(std::uint32_t incarnation) noexcept;
/// The tag of a process; 0 if it has none.
std::uint32_t tag_of(pid_t pid) noexcept;

/// The signal dispositions of a started process: those that the library or a shell changes are default
/// again, SIGINT is ignored by a handler, SIGTERM asks to stop; others stay as they were. Async-signal-safe.
void install_child_signals() noexcept;

}  // namespace cloister::internal

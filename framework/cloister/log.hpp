// SPDX-License-Identifier: BSD-3-Clause
// The library's own log: what it does with processes, on stderr, one line a write. Off (only warnings) until asked for.
//
//   log_to_stderr(log_level::info);      // here, and in every process started from now on
//
// Threads: any. Never throws. A line that stderr cannot take at once is lost, not waited for; only where others write into the same full
// pipe at that very moment may a line wait. One longer than a pipe's buffer is cut.
// A line: "[cloister] info (pid 4711): process 'crawler' (pid 4712) started".
#pragma once

#include <cstdint>
#include <string_view>

namespace cloister {

enum class log_level : std::uint8_t { debug, info, warning, error, off };

/// Lines of `level` and above are written by this process and by those it starts from now on. The default is `warning`.
void log_to_stderr(log_level level) noexcept;
log_level current_log_level() noexcept;

namespace detail {
/// Writes one line if `level` is high enough.
void log(log_level level, std::string_view text) noexcept;
}  // namespace detail
}  // namespace cloister

// SPDX-License-Identifier: BSD-3-Clause
// One line, one write, and only if there is room: the hub writes here too, and nobody may hold it up by not reading.
#include <cloister/log.hpp>

#include <atomic>
#include <climits>
#include <string>

#include <poll.h>
#include <unistd.h>

namespace cloister {
namespace {
std::atomic<log_level> threshold{log_level::warning};
}

void log_to_stderr(log_level level) noexcept { threshold.store(level, std::memory_order_relaxed); }
log_level current_log_level() noexcept { return threshold.load(std::memory_order_relaxed); }

void detail::log(log_level level, std::string_view text) noexcept {
  if (level < current_log_level() || level == log_level::off) return;
  static constexpr std::string_view names[] = {"debug", "info", "warning", "error"};
  try {
    std::string line =
        "[cloister] " + std::string(names[static_cast<unsigned>(level)]) + " (pid " + std::to_string(::getpid()) + "): ";
    line.append(text.substr(0, PIPE_BUF - 128)).append("\n");  // a writable pipe has room for PIPE_BUF bytes, not for more
    pollfd writable{STDERR_FILENO, POLLOUT, 0};
    if (::poll(&writable, 1, 0) > 0) static_cast<void>(!::write(STDERR_FILENO, line.data(), line.size()));
  } catch (...) {  // no memory for a log line: no log line
  }
}

}  // namespace cloister

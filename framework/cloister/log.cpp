// SPDX-License-Identifier: BSD-3-Clause
#include <cloister/log.hpp>

#include <atomic>
#include <string>

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
    std::string line = "[cloister] " + std::string(names[static_cast<unsigned>(level)]) + " (pid " + std::to_string(::getpid()) + "): ";
    line.append(text).append("\n");
    static_cast<void>(!::write(STDERR_FILENO, line.data(), line.size()));
  } catch (...) {  // no memory for a log line: no log line
  }
}

}  // namespace cloister

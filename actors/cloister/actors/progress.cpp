// SPDX-License-Identifier: BSD-3-Clause
#include <cloister/actors/progress.hpp>

#include <algorithm>
#include <cstdio>

#include <unistd.h>

namespace cloister {

void progress_bar::operator()(const progress& now) {
  constexpr std::int64_t least_apart_ns = 100'000'000;
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  if (!now.complete() && (!terminal || (last_ns_ >= 0 && now.elapsed.count() - last_ns_ < least_apart_ns))) return;
  last_ns_ = now.elapsed.count();
  std::string line = title_;
  if (!line.empty()) line += " ";
  if (terminal && now.total) {
    constexpr std::size_t width = 30;
    const auto filled = *now.total == 0 ? width : width * now.done / *now.total;
    line += '[';
    line.append(filled, '#');
    line.append(width - filled, '.');
    line += "] ";
  }
  line += std::to_string(now.done);
  if (now.total) line.append("/").append(std::to_string(*now.total));
  char rest[64];
  std::snprintf(rest, sizeof rest, ", %.4g/s", now.rate());
  line += rest;
  if (now.complete()) {
    std::snprintf(rest, sizeof rest, ", %.2f s", static_cast<double>(now.elapsed.count()) / 1e9);
    line += rest;
  } else if (now.total && now.rate() > 0) {
    std::snprintf(rest, sizeof rest, ", %.0f s left", static_cast<double>(*now.total - now.done) / now.rate());
    line += rest;
  }
  // \033[K: what an earlier line has behind it goes.
  std::fprintf(stderr, "%s%s%s", terminal ? "\r" : "", line.c_str(), terminal ? "\033[K" : "");
  if (now.complete()) std::fputc('\n', stderr);
}

}  // namespace cloister

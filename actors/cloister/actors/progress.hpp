// SPDX-License-Identifier: BSD-3-Clause
// How far a pool's call is, and a bar that shows it on a terminal.
//
//   auto sums = p.with({.on_progress = progress_bar{"checksums"}}).map(checksum, files);
//
// A value; a copy goes on where the other one is. One thread at a time. Writes to stderr, at most ten times a second and at the end: a bar if
// that is a terminal, else one line at the end.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace cloister {

struct progress {
  std::size_t done = 0;                ///< items whose results are in
  std::optional<std::size_t> total;    ///< nothing while lazy input has not ended
  std::chrono::nanoseconds elapsed{};  ///< since the call began
  /// Items a second, on average.
  double rate() const noexcept {
    return elapsed.count() > 0 ? static_cast<double>(done) * 1e9 / static_cast<double>(elapsed.count()) : 0;
  }
  bool complete() const noexcept { return total && done == *total; }
};

class progress_bar {
 public:
  explicit progress_bar(std::string title = {}) : title_(std::move(title)) {}
  void operator()(const progress& now);

 private:
  std::string title_;
  std::int64_t last_ns_ = -1;  // elapsed, when it was drawn
};

}  // namespace cloister

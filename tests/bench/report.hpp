// SPDX-License-Identifier: BSD-3-Clause
// From samples to the table and the CSV file.
//
// Ratios are above 1 when the first is better, whether the figure is a rate or a time. A ratio between two contestants is
// the median of the ratios within each run, since the runs are interleaved and the machine's mood changes between them.
// The best peer and the best limit are chosen by their medians.
#pragma once

#include <iosfwd>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "programs.hpp"
#include "rows.hpp"

namespace bench {

/// What one entrant answered in one row, a member for each run.
struct series {
  const bench::entrant* entrant;
  std::vector<answer> answers;
};

/// One line of the report.
struct line {
  std::string row, figure, contestant, role, unit;
  std::string status;                     // measured, n/a, failed, not installed
  std::string note;                       // why not
  double median = 0, min = 0, max = 0;    // measured
  std::size_t runs = 0;                   // that gave a value
  std::optional<double> x_peer, x_limit;  // ratio to the best peer, to the best limit
  std::optional<double> x_target;         // ours: the smallest of its targets' ratios; 1 or more: reached
};

/// The lines of one row: for each reading all entrants.
std::vector<line> judge(const row& r, std::span<const series> all);

void print_heading(std::ostream& out);
void print(std::ostream& out, std::span<const line> lines);
/// How many targets were reached, and which were not.
void print_summary(std::ostream& out, std::span<const line> lines);
void write_csv(std::ostream& out, std::span<const line> lines);

}  // namespace bench

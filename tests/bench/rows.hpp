// SPDX-License-Identifier: BSD-3-Clause
// What the benchmark compares: the rows, who takes part in each, and what this library is to reach. Plain data.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bench {

enum class role { ours, peer, limit };

/// A contestant as the runner knows it: where it is and what it is called.
struct entrant {
  bench::role role;
  std::string_view program;  // a key of command_of
  std::string_view name;     // in that program's table
  std::string_view label;    // in the report
  bool judged = true;        // ours: compared with the target
};

/// What ours is to reach: `factor` times the best peer, or times the limit of that label, or `factor` itself.
struct target {
  enum class kind { best_peer, limit, absolute };
  kind against;
  double factor;
  std::string_view limit = {};
};

/// One figure of a contest, as it is reported.
struct reading {
  std::string_view figure;
  std::string_view unit;
  bool more_is_better;
  std::vector<target> targets = {};
};

struct row {
  std::string id;
  std::string_view contest;
  std::vector<std::string> arguments;  // key=value of the job
  std::vector<entrant> entrants;
  std::vector<reading> readings;
};

struct options {
  bool quick = false;     // short and small, to see that everything runs
  bool unpinned = false;  // the kernel places the processes of the one to one rows, too
};

/// Every row, in the order of the report.
std::vector<row> all_rows(const options& o);

/// The programs' keys, in the order of the report.
std::vector<std::string_view> all_programs();
/// The command that runs the program of that key.
std::vector<std::string> command_of(std::string_view program);

}  // namespace bench

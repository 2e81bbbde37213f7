// SPDX-License-Identifier: BSD-3-Clause
// Running another program for its answer: the runner's side of the protocol in contest.hpp. One thread.
#pragma once

#include <string>
#include <vector>

#include "contest.hpp"

namespace bench {

/// What a contestant answered.
struct answer {
  enum class kind { measured, not_applicable, failed, absent };
  kind what = kind::failed;
  figures values;    // measured
  std::string text;  // otherwise: why
};

/// Makes this process responsible for whatever the programs start: orphans become its children and are reaped, and SIGINT,
/// SIGTERM and SIGHUP kill the running program with its group before they end this one. To be called once, before `ask`.
void take_charge();

/// Runs `command` (looked up in PATH) and reads its answer. A program that takes longer than `seconds` is killed; whatever
/// it has started is killed with it, since it leads a process group of its own. `absent`: there is no such program.
answer ask(const std::vector<std::string>& command, double seconds);

/// The first line that `command` prints, or nothing if it cannot be run.
std::string first_line(const std::vector<std::string>& command);

}  // namespace bench

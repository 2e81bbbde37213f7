// SPDX-License-Identifier: BSD-3-Clause
// The start contest (start one process, wait for its end, again and again) and the crowd contest (many at once).
//
// A contestant gives a function that starts and joins one empty process; or one that starts a process that comes to the
// stage's gate and ends when it opens, returning its pid.
#pragma once

#include <sys/types.h>

#include <functional>

#include "contest.hpp"
#include "stage.hpp"

namespace bench {

/// Repeats for j.seconds; "median" and "p99" in milliseconds. j.ballast_mib of memory are in use by then.
figures measure_starts(const job& j, const std::function<void()>& start_and_join);

/// Starts j.count processes: "start", seconds until all have come to the gate, and "private", KiB of memory a process
/// has for itself there. Then opens the gate and calls `join_all`.
figures measure_crowd(stage& s, const job& j, const std::function<pid_t(int)>& start, const std::function<void()>& join_all);

}  // namespace bench

// SPDX-License-Identifier: BSD-3-Clause
// How much memory processes use, as /proc/PID/smaps_rollup says it. Any thread.
#pragma once

#include <sys/types.h>

#include <span>

namespace bench {

/// KiB that only this process has in memory (Private_Clean + Private_Dirty); throws if it cannot be read.
double private_kib(pid_t pid);
/// KiB of anonymous memory of a process: its own, without files and shared mappings.
double anonymous_kib(pid_t pid);
/// KiB reserved in the memory files (memfd) that this process has open, each counted once.
double memfd_kib();
/// The median of private_kib over some twenty of `pids`, evenly chosen.
double typical_private_kib(std::span<const pid_t> pids);

}  // namespace bench

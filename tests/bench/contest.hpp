// SPDX-License-Identifier: BSD-3-Clause
// What every contestant of the benchmark is: a function from a `job` to `figures`, in a table of its program.
//
// Each library compared has a program of its own, so that none is linked, forked from or delayed by another:
//
//   program CONTEST NAME bytes=64 producers=1 consumers=1 ...     runs one contestant once and prints
//   figure rate 3912345.1                                         one line for each figure, or
//   n/a several readers cannot share one stream                   if the job makes no sense for it, or
//   failed lost 3 of 100000 messages                              and exits with 1
//   program --version                                             prints "ZeroMQ 4.3.4"
//   program --list                                                prints CONTEST<tab>NAME for each entry
//
// `peers.py` speaks the same protocol. The runner starts these programs in turn and knows nothing else about them.
// A contestant measures itself, by the definitions in docs/benchmarks.md; only one thread calls anything here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// What is asked of a contestant. A contest uses the members it needs.
struct job {
  std::size_t bytes = 64;          // queue: size of one message
  int producers = 1;               // queue: processes that put
  int consumers = 1;               // queue: processes that get
  std::size_t depth = 1024;        // queue: messages that may wait, for a contestant that has a bound
  double seconds = 0.5;            // how long to measure
  std::string manner = "asleep";   // round-trip: asleep, ping-pong or awake
  double pause_us = 300;           // round-trip asleep: how long the receiver has been waiting when a message is sent
  std::string processors = "any";  // two: each side has one of its own; one: all share one; any: as the kernel likes
  int count = 1000;                // crowd: how many processes; memory: how many queues
  std::size_t ballast_mib = 0;     // start: memory that the starting process has in use
};

struct figure {
  std::string name;
  double value = 0;
};
using figures = std::vector<figure>;

struct contestant {
  std::string_view contest;
  std::string_view name;
  figures (*run)(const job&);
};

/// Thrown by a contestant that cannot take part in a job, with the reason.
class not_applicable : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The main of a contestant program. It ends the program after `deadline_seconds`, whatever the contestant does.
int contestant_main(int argc, char** argv, std::string_view version, std::span<const contestant> table,
                    unsigned deadline_seconds = 120);

/// CLOCK_MONOTONIC in nanoseconds: the same clock in every process of the machine.
inline std::int64_t now_ns() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

/// Keeps the processor busy for so long.
inline void work_for(std::int64_t ns) noexcept {
  for (const auto until = now_ns() + ns; now_ns() < until;) {}
}

inline std::int64_t to_ns(double seconds) noexcept { return static_cast<std::int64_t>(seconds * 1e9); }

/// Keeps this process on one processor if the job asks for it; sides 0 and 1 are the two that talk to each other.
/// To be called before the process has a second thread.
void take_processor(const job& j, int side);

/// The q-quantile (0 to 1) of some samples; 0 if there are none.
double quantile(std::vector<double> samples, double q);

/// Throws std::system_error with errno's text and `what`.
[[noreturn]] void throw_errno(const std::string& what);

}  // namespace bench

// SPDX-License-Identifier: BSD-3-Clause
// The program of the limits; see limits.hpp.
#include "limits.hpp"

#include <sys/utsname.h>

#include <string>

int main(int argc, char** argv) {
  static const bench::contestant table[] = {
      {"queue", "bare ring", bench::bare_ring_queue},   {"queue", "pipe", bench::pipe_queue},
      {"round-trip", "futex", bench::futex_round_trip}, {"round-trip", "spin", bench::spinning_round_trip},
      {"round-trip", "pipe", bench::pipe_round_trip},   {"start", "fork", bench::fork_start},
      {"start", "vfork and exec", bench::exec_start},   {"crowd", "fork", bench::fork_crowd},
      {"crowd", "vfork and exec", bench::exec_crowd},
  };
  utsname system{};
  ::uname(&system);
  return bench::contestant_main(argc, argv, std::string("Linux ") + system.release, table);
}

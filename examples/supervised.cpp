// SPDX-License-Identifier: BSD-3-Clause
// A pipeline under a supervisor: when its middle is killed, it is started again with the same handles, and the line that it had is not lost.
//
// Prints:
//   sum of 1 to 100: 5050
#include <cloister/cloister.hpp>
#include <csignal>
#include <iostream>
#include <set>

using namespace cloister;

void read_lines(sink<int> out) {
  for (int n = 1; n <= 100; ++n) out.put(n);
}

void pass_on(source<int> in, sink<int> out) {
  for (auto& n : in.leases()) {
    if (*n == 50 && !n.redelivered()) std::raise(SIGKILL);  // this process: it had taken line 50 on loan
    out.put(*n);
  }
}

int main(int argc, char** argv) {
  node here{argc, argv};
  log_to_stderr(log_level::error);  // the kill is expected
  queue<int> lines{here}, numbers{here};
  supervisor s{here,
               {.strategy = one_for_one, .intensity = 3},
               supervised({.id = "read", .restart = transient}, read_lines, lines),
               supervised({.id = "pass on"}, pass_on, lines, numbers)};
  std::set<int> seen;  // a line whose process died between its answer and its acknowledgement comes twice
  while (seen.size() < 100) seen.insert(numbers.get());
  int sum = 0;
  for (const int n : seen) sum += n;
  std::cout << "sum of 1 to 100: " << sum << '\n';
}

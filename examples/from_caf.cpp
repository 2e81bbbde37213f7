// SPDX-License-Identifier: BSD-3-Clause
// For those who know CAF: a CAF behaviour in a process of its own, fed from a queue. What it has not answered is on loan: its process is killed on
// the way, a supervisor starts it again, and nothing is lost. It is answered when its result has found room, so nothing piles up anywhere.
//
// Prints:
//   sum of the squares of 1 to 1000: 333833500
#include <cloister/caf.hpp>
#include <cloister/cloister.hpp>
#include <csignal>
#include <iostream>
#include <set>

using namespace cloister;

// begin behaviour
// As written for CAF: whoever sent n hears from `out`.
caf::behavior squarer(caf::event_based_actor* self, caf::actor out) {
  return {[=](int n) { return self->delegate(out, n * n); }};
}

// The body of the process: its own actor system, an actor that puts into `out`, and the behaviour, fed from `in` until that is closed.
void squares(source<int> in, sink<int> out) {
  caf_system system;
  const auto results = system.spawn_sink(out);
  system.feed(in, system->spawn(squarer, results));
}
// end behaviour

int main(int argc, char** argv) {
  node here{argc, argv};
  log_to_stderr(log_level::error);  // the kill is expected
  queue<int> numbers{here};
  queue<int> results{here, {.max_items = 20}};
  supervisor s{here, {}, supervised({.id = "squares", .restart = transient}, squares, numbers, results)};
  for (int n = 1; n <= 1000; ++n) numbers.put(n);
  std::set<int> seen;  // one whose process died between its result and its answer comes twice
  while (seen.size() < 1000) {
    const bool is_new = seen.insert(results.get()).second;
    if (is_new && seen.size() == 300) ::kill(s.which_child("squares").process.value().pid, SIGKILL);
  }
  numbers.close();
  long sum = 0;
  for (const int square : seen) sum += square;
  std::cout << "sum of the squares of 1 to 1000: " << sum << '\n';
}

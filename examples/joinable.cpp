// SPDX-License-Identifier: BSD-3-Clause
// The same crew word for word as in Python: a joinable queue, task_done, and one sentinel for each consumer. consumers.cpp is shorter,
// and does not need to know how many consumers there are.
//
// Prints, in any order:
//   0 * 0 = 0
//   1 * 1 = 1
//   2 * 2 = 4
//   3 * 3 = 9
//   consumer 1 exiting
//   consumer 2 exiting
#include <cloister/cloister.hpp>

#include <iostream>
#include <optional>
#include <string>

using namespace cloister;

struct multiply {
  int a, b;
  std::string operator()() const { return std::to_string(a) + " * " + std::to_string(b) + " = " + std::to_string(a * b); }
};
using task = std::optional<multiply>;  // nothing: the sentinel

void consume(joinable_queue<task> tasks, queue<std::string> results) {
  for (;;) {
    const auto next = tasks.get();
    if (next) results.put((*next)());
    tasks.task_done();
    if (!next) break;
  }
  results.put(this_process::name() + " exiting");
}

int main(int argc, char** argv) {
  node here{argc, argv};
  joinable_queue<task> tasks{here};
  queue<std::string> results{here};
  process a{here, {.name = "consumer 1"}, consume, tasks, results}, b{here, {.name = "consumer 2"}, consume, tasks, results};
  for (int i = 0; i < 4; ++i) tasks.put(multiply{i, i});
  for (int i = 0; i < 2; ++i) tasks.put({});
  tasks.join();
  for (int i = 0; i < 6; ++i) std::cout << results.get() << '\n';
}

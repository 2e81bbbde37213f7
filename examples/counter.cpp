// SPDX-License-Identifier: BSD-3-Clause
// A counter that five tasks of a pool increment, fifty times each, ten milliseconds apart. It is an actor: one process owns it, and handles one
// message at a time, so there is nothing to lock.
//
// Prints:
//   250
#include <cloister/actors/actors.hpp>

#include <iostream>
#include <thread>
#include <vector>

using namespace cloister;
using namespace std::chrono_literals;

struct increment {};
struct value {};
struct counter {
  int n = 0;
  void on(increment) { ++n; }
  int on(value) const { return n; }
};

void count(actor<counter> c) {
  for (int i = 0; i < 50; ++i) {
    c.tell(increment{});
    std::this_thread::sleep_for(10ms);
  }
}

int main(int argc, char** argv) {
  node here{argc, argv};
  const actor<counter> c{here};
  const pool p{here, {.workers = 5}};
  std::vector<future<void>> tasks;
  for (int i = 0; i < 5; ++i) tasks.push_back(p.apply_async(count, c));
  when_all(tasks);
  std::cout << c.ask(value{}) << '\n';
}

// SPDX-License-Identifier: BSD-3-Clause
// Consumers as a type with its own run loop, one per processor: they take objects that can be called and put their answers on a second
// queue. Closing the queue ends them; there are no sentinels.
//
// Prints, in any order:
//   0 * 0 = 0
//   1 * 1 = 1
//   2 * 2 = 4
//   3 * 3 = 9
//   4 * 4 = 16
//   5 * 5 = 25
//   6 * 6 = 36
//   7 * 7 = 49
//   8 * 8 = 64
//   9 * 9 = 81
//   all consumers have ended
#include <cloister/cloister.hpp>

#include <iostream>
#include <string>
#include <vector>

using namespace cloister;

// begin consumer
struct multiply {
  int a, b;
  std::string operator()() const { return std::to_string(a) + " * " + std::to_string(b) + " = " + std::to_string(a * b); }
};

struct consumer {
  source<multiply> tasks;
  sink<std::string> results;
  void operator()() {
    for (auto& task : tasks.leases()) results.put((*task)());  // the end of the body acknowledges; who dies on the way gives back
  }
};
// end consumer

int main(int argc, char** argv) {
  node here{argc, argv};
  // begin crew
  queue<multiply> tasks{here};
  queue<std::string> results{here};
  std::vector<process> crew;
  for (unsigned i = 0; i < cpu_count(); ++i) crew.emplace_back(here, consumer{tasks, results});
  for (int i = 0; i < 10; ++i) tasks.put({i, i});
  tasks.join();  // until every task is acknowledged
  tasks.close();
  results.close();
  for (const auto& line : results) std::cout << line << '\n';
  // end crew
  for (auto& p : crew) p.join();
  std::cout << "all consumers have ended\n";
}

// SPDX-License-Identifier: BSD-3-Clause
// Five philosophers share five forks. One is killed in the middle of a meal; its forks pass on to its neighbours, who are told, wipe them,
// and eat on. std::scoped_lock takes two forks without an order, so nobody starves in a circle.
//
// Prints:
//   one died at its meal
//   2 forks were wiped
//   the other four had all their meals
#include <cloister/actors/actors.hpp>

#include <csignal>
#include <iostream>
#include <mutex>
#include <vector>

using namespace cloister;

struct table {
  mutex left, right;
  sink<int> wiped, eaten;
};

void dine(table t, bool dies) {
  for (int meal = 0; meal < 100; ++meal) {
    const std::scoped_lock both(t.left, t.right);
    for (const auto& fork : {t.left, t.right}) {
      if (!fork.owner_died()) continue;
      t.wiped.put(1);
      fork.recovered();
    }
    if (dies && meal == 50) ::raise(SIGKILL);
  }
  t.eaten.put(1);
}

int main(int argc, char** argv) {
  node here{argc, argv};
  std::vector<mutex> forks;
  for (int i = 0; i < 5; ++i) forks.emplace_back(here);
  const queue<int> wiped{here}, eaten{here};
  log_to_stderr(log_level::off);
  std::vector<process> crew;
  for (std::size_t i = 0; i < 5; ++i) crew.emplace_back(here, dine, table{forks[i], forks[(i + 1) % 5], wiped, eaten}, i == 0);
  std::cout << (crew[0].join().signal() == SIGKILL ? "one died at its meal\n" : "");
  for (int i = 1; i < 5; ++i) eaten.get();
  // A neighbour that had eaten before it died has left its fork to nobody: look at those yet.
  for (const auto& fork : {forks[0], forks[1]}) {
    const std::scoped_lock mine(fork);
    if (fork.owner_died()) wiped.put(1);
  }
  std::cout << wiped.size() << " forks were wiped\nthe other four had all their meals\n";
}

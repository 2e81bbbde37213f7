// SPDX-License-Identifier: BSD-3-Clause
// Ten processes print a line each, in pieces, under one lock: no two lines are mixed.
//
// Prints, in any order:
//   hello world 0
//   hello world 1
//   hello world 2
//   hello world 3
//   hello world 4
//   hello world 5
//   hello world 6
//   hello world 7
//   hello world 8
//   hello world 9
#include <cloister/actors/actors.hpp>

#include <iostream>
#include <mutex>
#include <vector>

using namespace cloister;

void say(mutex turn, int i) {
  const std::scoped_lock mine(turn);
  std::cout << "hello " << std::flush << "world " << std::flush << i << std::endl;
}

int main(int argc, char** argv) {
  node here{argc, argv};
  mutex turn{here};
  std::vector<process> crew;
  for (int i = 0; i < 10; ++i) crew.emplace_back(here, say, turn, i);
}

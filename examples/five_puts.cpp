// SPDX-License-Identifier: BSD-3-Clause
// Five tasks of a pool put one item each into a queue of the program's. A queue travels to workers like any argument.
//
// Prints:
//   size 5
#include <cloister/actors/actors.hpp>

#include <iostream>
#include <vector>

using namespace cloister;

void put_one(int n, sink<int> out) { out.put(n); }

int main(int argc, char** argv) {
  node here{argc, argv};
  const queue<int> q{here};
  const pool p{here, {.workers = 2}};
  p.map(put_one, std::vector{0, 1, 2, 3, 4}, q);
  std::cout << "size " << q.size() << '\n';
}

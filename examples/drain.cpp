// SPDX-License-Identifier: BSD-3-Clause
// One process puts the squares of a list on a queue and closes it; another prints what comes until there is no more.
//
// Prints:
//   1
//   4
//   9
//   16
//   queue is now empty
#include <cloister/cloister.hpp>

#include <iostream>
#include <vector>

using namespace cloister;

void square(std::vector<int> numbers, sink<int> out) {
  for (int n : numbers) out.put(n * n);
  out.close();
}

void print(source<int> in) {
  for (int n : in) std::cout << n << '\n';  // until it is closed and drained
  std::cout << "queue is now empty\n";
}

int main(int argc, char** argv) {
  node here{argc, argv};
  queue<int> squares{here};
  process a{here, square, std::vector{1, 2, 3, 4}, squares}, b{here, print, squares};
}

// SPDX-License-Identifier: BSD-3-Clause
// Memory is not shared: a child fills a global list, and the parent's stays empty.
//
// Prints:
//   the child's list: 1 4 9 16
//   the parent's list is empty
#include <cloister/cloister.hpp>

#include <iostream>
#include <vector>

using namespace cloister;

std::vector<int> squares;

void fill(std::vector<int> numbers) {
  for (int n : numbers) squares.push_back(n * n);
  std::cout << "the child's list:";
  for (int n : squares) std::cout << ' ' << n;
  std::cout << '\n';
}

int main(int argc, char** argv) {
  node here{argc, argv};
  process p{here, fill, std::vector{1, 2, 3, 4}};
  p.join();
  std::cout << "the parent's list is " << (squares.empty() ? "empty" : "not empty") << '\n';
}

// SPDX-License-Identifier: BSD-3-Clause
// A pool of four workers: the squares of ten numbers, first all together and in order, then one by one as they come.
//
// Prints, in any order:
//   [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]
//   0
//   1
//   4
//   9
//   16
//   25
//   36
//   49
//   64
//   81
// begin program
#include <cloister/actors/actors.hpp>

#include <iostream>
#include <utility>
#include <vector>

using namespace cloister;

int square(int x) { return x * x; }

int main(int argc, char** argv) {
  node here{argc, argv};
  const pool p{here, {.workers = 4}};
  const std::vector<int> numbers{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  const char* before = "[";
  for (const int x : p.map(square, numbers)) std::cout << std::exchange(before, ", ") << x;
  std::cout << "]\n";
  for (const int x : p.imap_unordered(square, numbers)) std::cout << x << '\n';
}
// end program

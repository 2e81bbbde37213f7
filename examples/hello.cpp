// SPDX-License-Identifier: BSD-3-Clause
// A process that runs a function with one argument. Its destructor waits for it.
//
// Prints:
//   hello bob
#include <cloister/cloister.hpp>

#include <iostream>
#include <string>

using namespace cloister;

void greet(std::string name) { std::cout << "hello " << name << '\n'; }

int main(int argc, char** argv) {
  node here{argc, argv};
  process p{here, greet, "bob"};
}

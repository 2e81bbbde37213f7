// SPDX-License-Identifier: BSD-3-Clause
// One process waits for an event without limit; another waits for at most a moment, and then sets it.
//
// Prints:
//   second: it is still not set
//   first: it is set
#include <cloister/actors/actors.hpp>

#include <chrono>
#include <iostream>

using namespace cloister;
using namespace std::chrono_literals;

void wait_for_it(event e) {
  e.wait();
  std::cout << "first: it is " << (e.is_set() ? "set" : "not set") << std::endl;
}
void wait_a_moment(event e) {
  if (!e.wait(50ms)) std::cout << "second: it is still not set" << std::endl;
  e.set();
}

int main(int argc, char** argv) {
  node here{argc, argv};
  event e{here};
  process first{here, wait_for_it, e}, second{here, wait_a_moment, e};
}

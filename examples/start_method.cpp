// SPDX-License-Identifier: BSD-3-Clause
// How processes come into being: chosen for the whole program, in a context of its own, or for one process.
// A forkserver process is forked by the node's launcher, a spawned one executes the program anew, a forked one copies its starter.
//
// Prints:
//   spawn says hello
//   fork says hello
//   forkserver says hello
#include <cloister/cloister.hpp>

#include <iostream>
#include <string>

using namespace cloister;

void say(std::string who, sink<std::string> out) { out.put(who + " says hello"); }

int main(int argc, char** argv) {
  node here{argc, argv, {.start = start_method::spawn}};  // for the whole program
  queue<std::string> texts{here};
  process a{here, say, "spawn", texts};
  std::cout << texts.get() << '\n';

  const auto copies = here.context(start_method::fork);  // a place with another default; the program's stays as it is
  process b{copies, say, "fork", texts};
  std::cout << texts.get() << '\n';

  process c{here, {.start = start_method::forkserver}, say, "forkserver", texts};  // for this one
  std::cout << texts.get() << '\n';
}

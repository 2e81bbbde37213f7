// SPDX-License-Identifier: BSD-3-Clause
// Two processes hold a conversation over the two ends of a pipe. Each prints what it hears.
//
// Prints:
//   hello
//   hello, too
//   what is your name?
#include <cloister/cloister.hpp>

#include <iostream>
#include <string>

using namespace cloister;
using talk = pipe_end<std::string>;

void hear(const talk& from) { std::cout << from.recv() << std::endl; }

void first(talk other) {
  other.send("hello");
  hear(other);
  other.send("what is your name?");
}

void second(talk other) {
  hear(other);
  other.send("hello, too");
  hear(other);
}

int main(int argc, char** argv) {
  node here{argc, argv};
  auto [one, two] = pipe<std::string>(here);
  process a{here, first, std::move(one)}, b{here, second, std::move(two)};
}

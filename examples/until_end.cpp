// SPDX-License-Identifier: BSD-3-Clause
// Messages over a pipe, in one direction, until its sending end is gone: no message that means END is needed.
//
// Prints:
//   received the message: hello
//   received the message: hey
//   received the message: hru?
//   received the end
#include <cloister/cloister.hpp>

#include <iostream>
#include <string>
#include <utility>
#include <vector>

using namespace cloister;

void speak(pipe_end<std::string, void> out, std::vector<std::string> messages) {
  for (const auto& message : messages) out.send(message);
}  // the end closes here

void hear(pipe_end<void, std::string> in) {
  while (const auto message = in.recv(deadline::never())) std::cout << "received the message: " << *message << '\n';
  std::cout << "received the end\n";
}

int main(int argc, char** argv) {
  node here{argc, argv};
  auto [in, out] = one_way<std::string>(here);
  process a{here, speak, std::move(out), std::vector<std::string>{"hello", "hey", "hru?"}};
  process b{here, hear, std::move(in)};
}

// SPDX-License-Identifier: BSD-3-Clause
// A value of mixed types goes through a queue, then through a pipe, whose other end is closed by the child's end.
//
// Prints:
//   queue: 42 nothing hello
//   pipe: 42 nothing hello
//   then: closed
#include <cloister/cloister.hpp>

#include <iostream>
#include <optional>
#include <string>
#include <tuple>

using namespace cloister;
using mixed = std::tuple<int, std::optional<int>, std::string>;  // any type that travels

void fill(sink<mixed> out) { out.put({42, {}, "hello"}); }
void answer(pipe_end<mixed> end) { end.send({42, {}, "hello"}); }

void print(const char* from, const mixed& value) {
  const auto& [number, maybe, text] = value;
  std::cout << from << ": " << number << ' ' << (maybe ? "something" : "nothing") << ' ' << text << '\n';
}

int main(int argc, char** argv) {
  node here{argc, argv};
  queue<mixed> q{here};
  process p{here, fill, q};
  print("queue", q.get());

  auto [mine, theirs] = pipe<mixed>(here);
  process r{here, answer, std::move(theirs)};
  print("pipe", mine.recv());
  if (auto more = mine.recv(deadline::never()); more == errc::closed) std::cout << "then: closed\n";
}

// SPDX-License-Identifier: BSD-3-Clause
// Waiting for whichever comes first among two queues, a pipe, a process and a descriptor. Each round makes one of them ready.
//
// Prints:
//   nothing within 1 ms
//   the second queue: 7
//   the pipe: hello
//   the descriptor: x
//   the process: exit 0
//   the first queue: closed
#include <cloister/cloister.hpp>

#include <chrono>
#include <iostream>
#include <string>

#include <fcntl.h>
#include <unistd.h>

using namespace cloister;
using namespace std::chrono_literals;

int main(int argc, char** argv) {
  node here{argc, argv};
  queue<int> a{here}, b{here}, go{here};
  auto [mine, theirs] = pipe<std::string>(here);
  process p{here, [](queue<int> until) { until.get(); }, go};
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return 1;
  owned_fd readable{fds[0]}, writable{fds[1]};

  const auto wait = [&, &end = mine](deadline until) { return wait_any({a, b, end, p, readable}, until); };
  const auto say = [&, &end = mine] {
    switch (wait(10s).value()) {
      case 0: std::cout << "the first queue: " << (a.try_get() == errc::closed ? "closed" : "a number") << '\n'; break;
      case 1: std::cout << "the second queue: " << b.get() << '\n'; break;
      case 2: std::cout << "the pipe: " << end.recv() << '\n'; break;
      case 3: std::cout << "the process: " << p.join().text() << '\n'; break;
      case 4: {
        char byte = 0;
        if (::read(readable.get(), &byte, 1) == 1) std::cout << "the descriptor: " << byte << '\n';
      }
    }
  };

  if (wait(1ms) == errc::timed_out) std::cout << "nothing within 1 ms\n";
  b.put(7);
  say();
  theirs.send("hello");
  say();
  if (::write(writable.get(), "x", 1) != 1) return 1;
  say();
  go.put(1);
  say();
  p = process{};
  a.close();
  if (const auto first = wait_any({a, b, mine, readable}); first == 0) std::cout << "the first queue: closed\n";
}

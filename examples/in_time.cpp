// SPDX-License-Identifier: BSD-3-Clause
// Two tasks whose results are awaited for one second at most. One is there; the other is still asleep, and is stopped with the pool.
//
// Prints:
//   100
//   timed_out
//   stopped at once
#include <cloister/actors/actors.hpp>

#include <iostream>
#include <thread>

using namespace cloister;
using namespace std::chrono_literals;

int square(int x) { return x * x; }
void sleep_long() { std::this_thread::sleep_for(10s); }

int main(int argc, char** argv) {
  node here{argc, argv};
  std::chrono::steady_clock::time_point left;
  {
    const pool p{here, {.workers = 4}};
    std::cout << p.apply_async(square, 10).get(1s).value() << '\n';
    const auto asleep = p.apply_async(sleep_long);
    if (const auto r = asleep.get(1s); !r) std::cout << to_string(r.error().code()) << '\n';
    left = std::chrono::steady_clock::now();
  }  // ~pool kills the workers
  std::cout << (std::chrono::steady_clock::now() - left < 1s ? "stopped at once" : "stopped late") << '\n';
}

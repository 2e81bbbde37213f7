// SPDX-License-Identifier: BSD-3-Clause
// Five tasks on a pool of two workers: each says in which process it runs. close() lets no more in, join() waits for those that are in.
//
// Prints, matching:
//   task [0-4] in process [0-9]+
//   task [0-4] in process [0-9]+
//   task [0-4] in process [0-9]+
//   task [0-4] in process [0-9]+
//   task [0-4] in process [0-9]+
//   end: at most two processes
#include <cloister/actors/actors.hpp>

#include <iostream>
#include <set>
#include <thread>
#include <vector>

#include <unistd.h>

using namespace cloister;
using namespace std::chrono_literals;

int say_where(int n) {
  std::cout << "task " + std::to_string(n) + " in process " + std::to_string(::getpid()) + "\n" << std::flush;
  std::this_thread::sleep_for(20ms);
  return ::getpid();
}

int main(int argc, char** argv) {
  node here{argc, argv};
  const pool p{here, {.workers = 2}};
  std::vector<future<int>> where;
  for (int n = 0; n < 5; ++n) where.push_back(p.apply_async(say_where, n));
  p.close();
  p.join();
  std::set<int> pids;
  for (const auto& pid : where) pids.insert(pid.get());
  std::cout << "end: " << (pids.size() <= 2 ? "at most two" : "too many") << " processes\n";
}

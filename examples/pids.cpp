// SPDX-License-Identifier: BSD-3-Clause
// Five threads and five processes each note their pid under one lock: one pid five times, and five others.
//
// Prints:
//   5 threads: 1 pid
//   5 processes: 5 pids
#include <cloister/actors/actors.hpp>

#include <iostream>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include <unistd.h>

using namespace cloister;

void note(mutex m, sink<int> pids) {
  const std::scoped_lock mine(m);
  pids.put(::getpid());
}

std::size_t different(const queue<int>& pids) {
  std::set<int> all;
  for (int i = 0; i < 5; ++i) all.insert(pids.get());
  return all.size();
}

int main(int argc, char** argv) {
  node here{argc, argv};
  mutex m{here};
  queue<int> pids{here};
  std::vector<std::thread> threads;
  for (int i = 0; i < 5; ++i) threads.emplace_back(note, m, pids);
  for (auto& t : threads) t.join();
  std::cout << "5 threads: " << different(pids) << " pid\n";
  std::vector<process> crew;
  for (int i = 0; i < 5; ++i) crew.emplace_back(here, note, m, pids);
  std::cout << "5 processes: " << different(pids) << " pids\n";
}

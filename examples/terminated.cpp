// SPDX-License-Identifier: BSD-3-Clause
// A pool is terminated while two of its tasks run and eight wait: it returns at once, the eight never start, and all say why.
//
// Prints:
//   terminate returned at once
//   2 tasks had begun
//   10 tasks: pool 'sleepers': terminated
#include <cloister/actors/actors.hpp>

#include <iostream>
#include <map>
#include <thread>
#include <vector>

using namespace cloister;
using namespace std::chrono_literals;

void sleep_long(int n, sink<int> begun) {
  begun.put(n);
  std::this_thread::sleep_for(10s);
}

int main(int argc, char** argv) {
  node here{argc, argv};
  queue<int> begun{here};
  const pool p{here, {.name = "sleepers", .workers = 2}};
  std::vector<future<void>> tasks;
  for (int n = 0; n < 10; ++n) tasks.push_back(p.apply_async(sleep_long, n, begun));
  begun.get();
  begun.get();

  const auto before = std::chrono::steady_clock::now();
  p.terminate();
  std::cout << "terminate returned " << (std::chrono::steady_clock::now() - before < 1s ? "at once" : "late") << '\n';
  std::cout << 2 + begun.size() << " tasks had begun\n";
  std::map<std::string, int> why;
  for (const auto& task : tasks)
    if (const auto r = task.get(deadline::never()); !r) ++why[r.error().text()];
  for (const auto& [text, times] : why) std::cout << times << " tasks: " << text << '\n';
}

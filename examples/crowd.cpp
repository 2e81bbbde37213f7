// SPDX-License-Identifier: BSD-3-Clause
// Ten processes put their pid and the time on a queue with room for three; ten others take one each and print it.
//
// Prints, matching:
//   from [0-9]+ at [0-9]+
//   from [0-9]+ at [0-9]+
//   from [0-9]+ at [0-9]+
//   from [0-9]+ at [0-9]+
//   from [0-9]+ at [0-9]+
//   from [0-9]+ at [0-9]+
//   from [0-9]+ at [0-9]+
//   from [0-9]+ at [0-9]+
//   from [0-9]+ at [0-9]+
//   from [0-9]+ at [0-9]+
//   10 different processes, never more than 3 waiting
#include <cloister/cloister.hpp>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

using namespace cloister;
using clock_type = std::chrono::system_clock;

struct stamp {
  int pid;
  clock_type::time_point when;
};

void enter(sink<stamp> door) { door.put({this_process::id().pid, clock_type::now()}); }

struct seen {
  int pid;
  std::size_t waiting;
};
void leave(source<stamp> door, sink<seen> out) {
  const auto waiting = door.size();
  const auto [pid, when] = door.get();
  std::ostringstream line;
  line << "from " << pid << " at " << clock_type::to_time_t(when) << '\n';
  std::cout << line.str() << std::flush;
  out.put({pid, waiting});
}

int main(int argc, char** argv) {
  node here{argc, argv};
  queue<stamp> door{here, {.max_items = 3}};
  queue<seen> out{here};
  {
    std::vector<process> crowd;
    for (int i = 0; i < 10; ++i) crowd.emplace_back(here, enter, door);
    for (int i = 0; i < 10; ++i) crowd.emplace_back(here, leave, door, out);
  }  // waits for all of them
  out.close();
  std::set<int> pids;
  std::size_t most = 0;
  for (const auto& [pid, waiting] : out) {
    pids.insert(pid);
    most = std::max(most, waiting);
  }
  std::cout << pids.size() << " different processes, " << (most <= 3 ? "never" : "sometimes") << " more than 3 waiting\n";
}

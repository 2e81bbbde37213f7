// SPDX-License-Identifier: BSD-3-Clause
// Two processes append lines to one file, with a lock: one finishes before the other starts.
//
// Prints, matching:
//   all lines of (one|two), then all lines of (one|two)
#include <cloister/actors/actors.hpp>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <mutex>
#include <string>
#include <vector>

#include <unistd.h>

using namespace cloister;

void append(mutex file_lock, std::string file, std::string who) {
  const std::scoped_lock mine(file_lock);
  for (int i = 0; i < 100; ++i) std::ofstream(file, std::ios::app) << who << '\n';
}

int main(int argc, char** argv) {
  node here{argc, argv};
  std::string file = "/tmp/lines.XXXXXX";
  ::close(::mkstemp(file.data()));
  mutex file_lock{here};
  { process one{here, append, file_lock, file, "one"}, two{here, append, file_lock, file, "two"}; }
  std::vector<std::string> runs;  // equal lines in a row count once
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);)
    if (runs.empty() || runs.back() != line) runs.push_back(line);
  ::unlink(file.c_str());
  if (runs.size() == 2) std::cout << "all lines of " << runs[0] << ", then all lines of " << runs[1] << '\n';
}

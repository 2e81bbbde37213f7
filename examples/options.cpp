// SPDX-License-Identifier: BSD-3-Clause
// What can be said about a process when it is started, and what it says when it has ended.
//
// Prints:
//   a wrote: in / for me with green
//   b ended with: std::runtime_error: no more descriptors
//   c ended with: exit 7
//   d said: destroyed
//   d ended with: killed by SIGTERM
#include <cloister/cloister.hpp>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

using namespace cloister;

void describe(std::string what) {
  std::cout << "in " << std::filesystem::current_path().string() << " for " << what << " with " << std::getenv("COLOUR");
}

void open_many() {
  for (std::vector<owned_fd> open;; open.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC)))
    if (!open.empty() && !open.back()) throw std::runtime_error("no more descriptors");
}

void wait_for_ever(queue<std::string> said) {
  struct at_end {
    queue<std::string>& said;
    ~at_end() { said.put("destroyed"); }
  } last{said};
  said.put("here");
  this_process::sleep_for(std::chrono::hours(1));
}

int main(int argc, char** argv) {
  node here{argc, argv};
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return 1;
  owned_fd from{fds[0]}, to{fds[1]};
  process a{here, {.name = "a", .stdout = to.get(), .env = {{"COLOUR", "green"}}, .cwd = "/"}, describe, "me"};
  a.join();
  char text[100] = {};
  if (::read(from.get(), text, sizeof text - 1) < 0) return 1;
  std::cout << "a wrote: " << text << '\n';

  process b{here, {.limits = {.open_files = 64}}, open_many};
  std::cout << "b ended with: " << b.join().text() << '\n';

  process c{here, {.deferred = true}, [](int code) { std::exit(code); }, 7};
  c.start();
  std::cout << "c ended with: " << c.join().text() << '\n';

  queue<std::string> said{here};
  process d{here, {.daemon = true}, wait_for_ever, said};  // not waited for at the end, as the others are
  said.get();
  d.terminate();  // a request: what blocks there throws, and destructors run
  std::cout << "d said: " << said.get() << '\n' << "d ended with: " << d.join().text() << '\n';
}

// SPDX-License-Identifier: BSD-3-Clause
// Starts for which the first process has no memory: said to the starter, and nothing is left of them.
// Failures are aimed at the hub's thread, and by their size at what a long name needs.
#include "process_support.hpp"

#include <atomic>

#include <unistd.h>

using namespace cloister;
using namespace support;

namespace {

constexpr std::size_t long_name = 5000;
std::atomic<pid_t> refused_thread{0};
std::atomic<int> until_refused{0};  // the allocation with this number fails

bool refuses(std::size_t bytes) {
  return bytes >= long_name && bytes < 4 * long_name && refused_thread != 0 && ::gettid() == refused_thread && --until_refused == 0;
}

}  // namespace

#include "refusing_memory.hpp"

TEST_CASE("a start for which the hub has no memory is a clear error, wherever the memory ends, and nothing waits for it") {
  EACH_METHOD(how);
  const auto hub = hub_thread();
  int started = 0, failed = 0;
  for (int n = 1; started == 0; ++n) {
    until_refused = n;
    refused_thread = hub;
    try {
      process p{here(), {.name = std::string(long_name, 'n'), .start = how}, [] {}};
      refused_thread = 0;
      REQUIRE(p.join(20s));
      // With memory for all that was wanted, or for all but a copy in a text.
      if (until_refused > 0) ++started;
    } catch (const failure& f) {
      refused_thread = 0;
      ++failed;
      CHECK((f.code() == errc::no_memory || f.code() == errc::no_descriptors));
    }
  }
  INFO(failed << " failed");
  CHECK(failed > 0);  // how many places there are depends on what else the hub does
  CHECK(active_children().empty());
}

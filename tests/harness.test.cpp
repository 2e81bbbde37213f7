// SPDX-License-Identifier: BSD-3-Clause
// The harness itself: children, their ends, and that a case which hangs is ended by name.
#include "harness.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <csignal>
#include <stdexcept>

using harness::forked;

TEST_CASE("a child's end is what its body returned, threw or was killed by") {
  REQUIRE(forked([] {}).code() == 0);
  REQUIRE(forked([] { return 7; }).code() == 7);
  REQUIRE(forked([] { return false; }).code() == 1);
  REQUIRE(forked([] { throw std::runtime_error("as the test wants it"); }).code() == 1);
  REQUIRE(forked([] { ::raise(SIGTERM); }).signal() == SIGTERM);
}

TEST_CASE("a failed requirement in a child is seen by its parent") {
  // The failure is reported by the child into a pipe nobody reads, so that this case's own output stays clean.
  REQUIRE(forked([] {
            ::dup2(::open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);
            REQUIRE(1 == 2);
          }).code() == 1);
}

TEST_CASE("a child dies with its owner") {
  pid_t pid = 0;
  {
    const harness::child c([] { ::pause(); });
    pid = c.pid();
    REQUIRE(harness::eventually([&] { return harness::asleep(pid); }));
    REQUIRE(harness::child_processes() == std::vector<pid_t>{pid});
  }
  REQUIRE(harness::process_state(pid) == '\0');
  REQUIRE(harness::child_processes().empty());
}

TEST_CASE("a child dies with its test") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  harness::child outer([&] {
    const harness::child inner([] { ::pause(); });
    const pid_t pid = inner.pid();
    static_cast<void>(!::write(ends[1], &pid, sizeof pid));
    ::pause();
  });
  pid_t inner = 0;
  REQUIRE(::read(ends[0], &inner, sizeof inner) == sizeof inner);
  outer.kill();
  REQUIRE(harness::eventually([&] {
    const char s = harness::process_state(inner);
    return s == '\0' || s == 'Z';
  }));
  ::close(ends[0]);
  ::close(ends[1]);
}

// Run by the check `a case that hangs is ended and named`, never by itself.
TEST_CASE("a hanging case", "[.][deadline:1]") { ::pause(); }

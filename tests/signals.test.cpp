// SPDX-License-Identifier: BSD-3-Clause
// Ctrl-C: SIGINT for the whole foreground group of a program in a session of its own.
#include "process_support.hpp"

#include <csignal>

using namespace cloister;
using namespace support;

TEST_CASE("promise 39: one Ctrl-C is one orderly shutdown without a word from the workers") {
  program run({"interrupted"});
  run.number("ready");
  run.signal_group(SIGINT);
  const auto text = run.rest();
  INFO(text);
  CHECK(text.find("interrupted 1\n") != std::string::npos);
  CHECK(text.find("requested 1\n") != std::string::npos);
  const auto first = text.find("unwound ");
  CHECK(first != std::string::npos);
  CHECK(text.find("unwound ", first + 1) != std::string::npos);
  CHECK(text.find("[cloister]") == std::string::npos);
  CHECK(run.wait().signal() == SIGINT);
}

TEST_CASE("an interrupted call that nobody catches ends the program by SIGINT, its children unwound") {
  program run({"uncaught-interrupted"});
  run.number("ready");
  run.signal_group(SIGINT);
  const auto text = run.rest();
  INFO(text);
  CHECK(text.find("terminate called") == std::string::npos);
  const auto first = text.find("unwound ");
  CHECK(first != std::string::npos);
  CHECK(text.find("unwound ", first + 1) != std::string::npos);
  CHECK(run.wait().signal() == SIGINT);
}

TEST_CASE("a second Ctrl-C ends everything at once") {
  program run({"stubborn"});
  const pid_t child = run.number("ready");
  run.signal_group(SIGINT);
  CHECK(run.line() == "interrupted 1");
  run.signal_group(SIGINT);
  CHECK(run.wait().signal() == SIGINT);
  CHECK(all_gone({child}));
}

TEST_CASE("the launcher ignores Ctrl-C and SIGTERM") {
  program run({"tree"});
  run.number("child");
  run.number("pid");
  run.number("pid");
  const pid_t launcher = run.number("launcher");
  run.number("ready");
  for (const int number : {SIGINT, SIGTERM, SIGQUIT, SIGHUP}) ::kill(launcher, number);
  CHECK_FALSE(harness::eventually([&] { return !alive(launcher); }, 100ms));
}

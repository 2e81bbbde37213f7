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

TEST_CASE("Ctrl-C ends a program that waits for a stopped launcher") {
  program run({"waits-for-launcher"});
  const pid_t launcher = run.number("launcher");
  ::kill(launcher, SIGSTOP);
  REQUIRE(harness::eventually([&] { return harness::process_state(launcher) == 'T'; }));
  run.input("go\n");
  run.number("starting");
  REQUIRE(harness::eventually([&] { return harness::asleep(run.pid()); }));
  run.signal_group(SIGINT);
  run.rest();
  CHECK(run.wait().signal() == SIGINT);
}

TEST_CASE("a process that is asked to stop does not wait for a stopped hub") {
  program run({"asks"});
  const pid_t child = run.number("child");
  ::kill(run.pid(), SIGSTOP);
  REQUIRE(harness::eventually([&] { return harness::process_state(run.pid()) == 'T'; }));
  ::kill(child, SIGTERM);
  CHECK(all_gone({child}));
  ::kill(run.pid(), SIGCONT);
  CHECK(run.rest().find("signal " + std::to_string(SIGTERM) + "\n") != std::string::npos);
}

TEST_CASE("a process that is asked to stop does not wait for room in the socket of a stopped hub") {
  program run({"tells"});
  const pid_t child = run.number("child");
  ::kill(run.pid(), SIGSTOP);
  REQUIRE(harness::eventually([&] { return harness::process_state(run.pid()) == 'T'; }));
  REQUIRE(harness::eventually([&] { return harness::asleep(child); }));
  ::kill(child, SIGTERM);
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

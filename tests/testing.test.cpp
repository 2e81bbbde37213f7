// SPDX-License-Identifier: BSD-3-Clause
// The test kit for programs that use this library.
#include "process_support.hpp"

#include <cloister/testing.hpp>

#include <csignal>

#include <sys/wait.h>

using namespace cloister;
using namespace support;
namespace kit = cloister::testing;

namespace {

void pass_on(source<int> in, sink<int> out) {
  for (auto& n : in.leases()) out.put(*n);
}

}  // namespace

TEST_CASE("a child is killed by its name or its number, and its replacement awaited") {
  const supervisor s{here(), {.intensity = 5}, supervised({.id = "a"}, sleep_long), supervised({.id = "b"}, sleep_long)};
  kit::recorder seen(s);
  const auto first = kit::kill_child(s, "b");
  CHECK(kit::replaced(s, "b", first));
  const auto second = kit::kill_child(s, 0);
  CHECK(second.name == "a");
  CHECK(kit::replaced(s, "a", second));
  CHECK(seen.await_restarts("a", 1));
  CHECK(seen.restarted() == std::vector<std::string>{"b", "a"});
  CHECK(kit::whole(s));
  CHECK_THROWS_AS(kit::kill_child(s, 2), failure);
}

TEST_CASE("a child is killed at the message that the test says, once") {
  const queue<int> in{here()};
  const queue<int> out{here()};
  const auto at_third = kit::at_message(3);
  const supervisor s{here()};
  kit::recorder seen(s);
  s.start_child(at_third.in({.id = "worker"}), pass_on, in, out);
  for (int n = 1; n <= 5; ++n) in.put(n);
  for (int n = 1; n <= 5; ++n) CHECK(out.get(20s).value() == n);
  CHECK(seen.await_restarts("worker", 1));
  CHECK(seen.restarts_of("worker") == 1);
  CHECK_FALSE(at_third.pending());
  in.close();
}

TEST_CASE("a stopped child does nothing until it is continued") {
  const queue<int> in{here()};
  const queue<int> out{here()};
  const supervisor s{here(), {}, supervised({.id = "worker"}, pass_on, in, out)};
  kit::stop_child(s, "worker");
  in.put(1);
  CHECK(out.get(50ms) == errc::timed_out);
  kit::continue_child(s, "worker");
  CHECK(out.get(20s).value() == 1);
  in.close();
}

TEST_CASE("those taken along by a group's restart are seen, also deeper in the tree") {
  const supervisor s{here(),
                     {.name = "top"},
                     supervised({.id = "group"}, {.strategy = one_for_all}, supervised({.id = "a"}, sleep_long),
                                supervised({.id = "b"}, sleep_long))};
  kit::recorder seen(s);
  kit::kill_child(supervisor::find(s, "group"), "b");
  CHECK(seen.await_restarts("group/b", 1));
  CHECK(seen.restarted() == std::vector<std::string>{"group/a", "group/b"});
  CHECK(kit::whole(s));
}

TEST_CASE("a tree with a child that is not there is not whole") {
  const supervisor s{here(), {}, supervised({.id = "a"}, sleep_long)};
  CHECK(kit::whole(s));
  s.terminate_child("a");
  CHECK_FALSE(kit::whole(s, 0s));
}

TEST_CASE("what is left behind is found, and nothing else") {
  const supervisor warm{here()};
  const kit::leak_check leaks;
  CHECK(leaks.found(0s).empty());
  {
    const supervisor s{here(), {}, supervised({.id = "a"}, sleep_long)};
    const queue<int> q{here()};
    q.put(1);
    const auto found = leaks.found(0s);
    CHECK(found.find("1 processes more") != std::string::npos);
    CHECK(found.find("shared memory") != std::string::npos);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("leaks are counted while other processes come and go") {
  std::vector<harness::child> forking;
  for (int k = 0; k < 6; ++k)
    forking.emplace_back([] {
      for (int n = 0; n < 1000; ++n)
        if (const pid_t one = ::vfork(); one == 0)
          ::_exit(0);
        else
          ::waitpid(one, nullptr, 0);
    });
  for (int n = 0; n < 300; ++n) CHECK_NOTHROW(kit::leak_check{});
  for (auto& one : forking) CHECK(one.wait().success());
}

TEST_CASE("an actor that has ended leaves nothing with the process that made it") {
  struct echo {
    int on(int n) { return n; }
  };
  const actor<echo> other{here()};
  CHECK(other.ask(1) == 1);  // what this thread hears replies in stays
  const kit::leak_check leaks;
  {
    const actor<echo> a{here()};
    CHECK(a.ask(1) == 1);
    CHECK(leaks.found(0s).find("descriptors (socket)") != std::string::npos);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a test that hangs is ended and named") {
  const process p{here(), [] {
                    const kit::time_limit limit("the hanging one", 10ms);
                    for (;;) ::pause();
                  }};
  CHECK(p.join().code() == 3);
  const process q{here(), [] { const kit::time_limit limit("one that does not hang", 1h); }};
  CHECK(q.join().success());
}

namespace {
struct doubler {
  int on(int n) const { return 2 * n; }
};
}  // namespace

TEST_CASE("a death is planned for a supervised actor as for any child, and so are its limits") {
  const supervisor s{here(), {.intensity = 5}};
  const auto death = testing::at_message(2);
  const actor<doubler> a{s, death.in({.id = "a", .process = {.name = "twice"}})};
  CHECK(a.process().value().name == "twice");
  CHECK(a.ask(1, 20s).value() == 2);
  CHECK(a.ask(2, 20s).value() == 4);  // its successor's
  CHECK_FALSE(death.pending());
}

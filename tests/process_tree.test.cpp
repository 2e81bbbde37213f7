// SPDX-License-Identifier: BSD-3-Clause
// Processes that start processes, and hearing of the end of others, for each start method.
#include "process_support.hpp"

#include <csignal>
#include <cstdio>
#include <stdexcept>

#include <unistd.h>

using namespace cloister;
using namespace support;

namespace {

void branch(const node& inner, sink<std::string> to, std::string path, int levels) {
  to.put(path);
  for (int i = 0; levels > 0 && i < 2; ++i) {
    process p{inner, branch, to, path + std::to_string(i), levels - 1};
    p.join();
  }
}

}  // namespace

TEST_CASE("children start and join children two levels deep, and all report in order") {
  EACH_METHOD(how);
  queue<std::string> to{here()};
  process p{here(), by(how), branch, to, "-", 2};
  CHECK(p.join().success());
  std::vector<std::string> got = to.get_many(100);
  CHECK(got == std::vector<std::string>{"-", "-0", "-00", "-01", "-1", "-10", "-11"});
}

TEST_CASE("a child knows the process that started it") {
  EACH_METHOD(how);
  queue<std::pair<pid_t, std::string>> to{here()};
  process p{here(),
            {.name = "middle", .start = how},
            [](const node& inner, queue<std::pair<pid_t, std::string>> out) {
              const auto up = parent_process();
              if (!up || !up->is_alive() || up->join(0s).has_value()) ::_exit(1);
              out.put({up->id().pid, up->name()});
              process q{inner,
                        [](queue<std::pair<pid_t, std::string>> from) {
                          from.put({parent_process()->id().pid, parent_process()->name()});
                        },
                        out};
              if (!q.join().success()) ::_exit(2);
            },
            to};
  CHECK(to.get() == std::pair(::getpid(), std::string("main")));
  CHECK(to.get() == std::pair(p.pid(), std::string("middle")));
  CHECK(p.join().success());
}

TEST_CASE("active_children lists, in order, what this process started and nobody else") {
  EACH_METHOD(how);
  process a{here(), by(how), sleep_long};
  process b{here(), by(how), [](const node& inner) {
              process inside{inner, sleep_long};
              if (active_children().size() != 1 || active_children()[0] != inside.id()) ::_exit(1);
              inside.terminate();
            }};
  CHECK(b.join().success());
  process c{here(), by(how), sleep_long};
  auto all = active_children();
  REQUIRE(all.size() == 2);
  CHECK(all[0] == a.id());
  CHECK(all[1] == c.id());
  a.kill();
  a.join();
  all = active_children();
  REQUIRE(all.size() == 1);
  CHECK(all[0] == c.id());
  c.kill();
}

TEST_CASE("a process that ends takes its daemons along and waits for its other children") {
  EACH_METHOD(how);
  queue<pid_t> to{here()};
  queue<int> go{here()};
  process p{here(), by(how),
            [](const node& inner, queue<pid_t> out, queue<int> wait) {
              static process daemon, plain;
              daemon = process{inner, {.daemon = true}, sleep_long};
              plain = process{inner,
                              [](queue<pid_t> from, queue<int> in) {
                                in.get();
                                from.put(-1);
                              },
                              out, wait};
              out.put(daemon.pid());
            },
            to, go};
  const pid_t daemon = to.get();
  REQUIRE(harness::eventually([&] { return harness::asleep(p.pid()); }));
  CHECK(p.is_alive());
  go.put(1);
  CHECK(p.join().success());
  CHECK(to.try_get().value() == -1);
  CHECK(all_gone({daemon}));
}

TEST_CASE("a monitor hears of an end once, also when it asks late") {
  EACH_METHOD(how);
  queue<exit_notice> ends{here()};
  process p{here(), {.name = "watched", .start = how}, sleep_long};
  monitor(p, ends);
  CHECK(ends.get(20ms) == errc::timed_out);
  p.kill();
  auto n = ends.get();
  CHECK(n.process == p.id());
  CHECK(n.process.name == "watched");
  CHECK(n.exit.signal() == SIGKILL);
  monitor(p.id(), ends);
  n = ends.get();
  CHECK(n.process == p.id());
  CHECK(n.exit.signal() == SIGKILL);
  CHECK(ends.try_get() == errc::would_block);
}

TEST_CASE("a monitor that is taken back hears nothing, another one does") {
  queue<exit_notice> ends{here()}, others{here()};
  process p{here(), sleep_long}, q{here(), sleep_long};
  for (const auto* who : {&p, &q}) {
    monitor(*who, ends);
    monitor(*who, others);
  }
  demonitor(p, ends);
  p.kill();
  CHECK(others.get(20s).value().process == p.id());
  q.kill();
  CHECK(ends.get(20s).value().process == q.id());
  CHECK(ends.empty());
}

TEST_CASE("an exit notice waits for room in a full queue, though no other process is left") {
  EACH_METHOD(how);
  queue<exit_notice> ends{here(), {.max_items = 1}};
  ends.put({{}, exit_status::exited(1)});
  process p{here(), by(how), [] {}};
  monitor(p.id(), ends);
  p.join();
  CHECK(ends.get().exit.code() == 1);
  CHECK(ends.get().process == p.id());
}

TEST_CASE("an exit notice that is too long for its queue arrives shortened") {
  queue<exit_notice> ends{here(), {.max_bytes = 4096}};
  process p{here(), {.name = std::string(5000, 'n'), .stderr = ::fileno(std::tmpfile())}, [] {
              throw std::runtime_error(std::string(15'000, 'x'));
            }};
  monitor(p, ends);
  const auto n = ends.get(20s).value();
  CHECK(n.process == p.id());
  CHECK(n.process.name == std::string(64, 'n'));
  CHECK(n.exit.exception_type() == "std::runtime_error");
  CHECK(n.exit.exception_text() == std::string(64, 'x'));
  CHECK(p.join().exception_text().size() == 15'000);
}

TEST_CASE("a process can be monitored by one that did not start it, and the notice outlives it") {
  EACH_METHOD(how);
  queue<exit_notice> ends{here()};
  process watched{here(), by(how), sleep_long};
  process watcher{here(), by(how), [](queue<exit_notice> to, process_id who) { monitor(who, to); }, ends, watched.id()};
  CHECK(watcher.join().success());
  watched.terminate();
  CHECK(ends.get().exit.signal() == SIGTERM);
}

// SPDX-License-Identifier: BSD-3-Clause
// Deadlocks: which circles of waits are found, who is told of them, and who gives way.
#include "sync_support.hpp"

#include <cloister/actors/deadlock.hpp>
#include <cloister/actors/mutex.hpp>

#include <algorithm>
#include <array>
#include <mutex>
#include <thread>

#include <unistd.h>

using namespace cloister;
using namespace support;

TEST_CASE("threads that come and go take no other's name: one that waits for an old one is in no circle", "[deadline:120]") {
  const mutex m{here(), {.on_deadlock = on_deadlock::error}};
  const mutex other{here()};
  m.lock();
  const int more = harness::slowdown > 1 ? 2'000 : 66'000;  // than an owner word can tell apart
  for (int i = 0; i < more; ++i) std::thread([&] { other.lock(), other.unlock(); }).join();
  std::thread late([&] {
    CHECK_NOTHROW(m.lock());
    m.unlock();
  });
  std::this_thread::sleep_for(20ms);  // so that it most likely waits; it must come through either way
  m.unlock();
  late.join();
}

TEST_CASE("a circle with a deadline in it is none: it opens by itself") {
  const open<mutex> a{here(), mutex_options{.on_deadlock = on_deadlock::error}};
  const mutex b{here(), {.on_deadlock = on_deadlock::error}};
  const queue<deadlock> watched{here()};
  watch_deadlocks(watched);
  a.lock();
  const queue<int> up{here()};
  process p{here(),
            [](mutex first, mutex second, sink<int> ready) {
              const std::scoped_lock g(second);
              ready.put(1);
              const std::scoped_lock h(first);
            },
            a.handle(), b, up};
  REQUIRE(up.get(20s));
  require_turn(a);
  CHECK(b.lock(50ms) == errc::timed_out);
  CHECK(watched.empty());
  a.unlock();
  CHECK(p.join(20s).value().success());
}

TEST_CASE("waiting for oneself is an error, a circle of others is one where the mutex says so; who watches is told who is in it") {
  const bool other_may_refuse = GENERATE(false, true);  // it is not this process's wait that is refused
  constexpr auto error = on_deadlock::error, wait = on_deadlock::wait;
  const open<mutex> a{here(), mutex_options{.name = "a", .on_deadlock = other_may_refuse ? error : wait}};
  const mutex b{here(), {.name = "b", .on_deadlock = other_may_refuse ? wait : error}};
  const queue<deadlock> watched{here()};
  watch_deadlocks(watched);
  a.lock();
  try {
    a.lock();
    FAIL("locked twice");
  } catch (const failure& f) { CHECK(f.code() == errc::deadlock); }
  const queue<int> up{here()};
  const queue<std::string> out{here()};
  process p{here(),
            {.name = "other"},
            [](mutex first, mutex second, sink<int> ready, sink<std::string> say) {
              const std::scoped_lock g(second);
              ready.put(1);
              try {
                first.lock();  // for ever, until one gives way
                first.unlock();
              } catch (const failure& f) { say.put(f.what()); }
            },
            a,
            b,
            up,
            out};
  up.get();
  require_turn(a);  // it is known to wait
  // This one closes the circle.
  const std::string circle = "waits for mutex 'b', owned by process 'other' (pid " + std::to_string(p.pid()) +
                             "), which waits for mutex 'a', which the first of them has";
  try {
    b.lock();
    CHECK(other_may_refuse);
    CHECK(out.get(20s).value().find(circle) != std::string::npos);
    b.unlock();
  } catch (const failure& f) {
    CHECK_FALSE(other_may_refuse);
    CHECK(f.code() == errc::deadlock);
    CHECK(std::string(f.what()).find(circle) != std::string::npos);
  }
  const auto seen = watched.get(20s).value();
  CHECK(seen.broken);
  REQUIRE(seen.circle.size() == 2);
  CHECK(seen.circle[0].process.pid == ::getpid());
  CHECK(seen.circle[0].waits_for == "b");
  CHECK(seen.circle[1].process.pid == p.pid());
  CHECK(seen.circle[1].waits_for == "a");
  CHECK(seen.text().find(circle) != std::string::npos);
  a.unlock();
  CHECK(p.join(20s).value().success());
}

TEST_CASE("a circle of three in which no mutex gives way is reported, and lasts until one of them is killed") {
  const std::array m{mutex{here()}, mutex{here()}, mutex{here()}};
  const queue<deadlock> watched{here()};
  watch_deadlocks(watched);
  const queue<int> up{here()}, go{here()}, out{here()};
  std::vector<process> crew;
  for (std::size_t i = 0; i < 3; ++i)
    crew.emplace_back(
        here(),
        [](mutex mine, mutex next, sink<int> ready, source<int> in, sink<int> done) {
          const std::scoped_lock g(mine);
          ready.put(1);
          in.get();
          const std::scoped_lock h(next);
          done.put(1);
        },
        m[i], m[(i + 1) % 3], up, go, out);
  for (int i = 0; i < 3; ++i) REQUIRE(up.get(20s));
  for (int i = 0; i < 3; ++i) go.put(1);
  const auto seen = watched.get(20s).value();
  CHECK_FALSE(seen.broken);
  REQUIRE(seen.circle.size() == 3);
  for (std::size_t i = 0; i < 3; ++i)
    CHECK(std::count_if(crew.begin(), crew.end(), [&](const process& p) { return p.pid() == seen.circle[i].process.pid; }) == 1);
  CHECK(out.get(20ms) == errc::timed_out);
  crew[1].kill();
  CHECK(out.get(20s));
  CHECK(out.get(20s));
}

// SPDX-License-Identifier: BSD-3-Clause
// Conditions: who is woken, and that no death swallows a notification.
#include "process_support.hpp"

#include <cloister/actors/condition.hpp>
#include <cloister/actors/deadlock.hpp>

#include <csignal>
#include <mutex>
#include <thread>

#include <unistd.h>

using namespace cloister;
using namespace support;

namespace {

// Says under the mutex that it is going to wait: who locks it after that knows that the wait is registered.
void wait_and_say(condition c, sink<int> up, sink<int> out) {
  const std::scoped_lock g(c);
  up.put(1);
  c.wait();
  out.put(1);
}

struct crew {
  crew(const condition& c, int n, start_method how = start_method::forkserver) {
    for (int i = 0; i < n; ++i) all.emplace_back(here(), by(how), wait_and_say, c, up, out);
    for (int i = 0; i < n; ++i) REQUIRE(up.get(20s));
    c.lock();  // the last of them has given it up only when it was registered
    c.unlock();
  }
  bool nobody_else() { return out.get(30ms) == errc::timed_out; }
  queue<int> up{here()}, out{here()};
  std::vector<process> all;
};

}  // namespace

TEST_CASE("_TestCondition.test_notify: each notification wakes exactly one, process or thread, by every start method") {
  EACH_METHOD(how);
  const mutex m{here()};
  const condition c{here(), m};
  crew waiters(c, 1, how);
  std::thread other(wait_and_say, c, waiters.up, waiters.out);
  waiters.up.get();
  c.lock(), c.unlock();
  CHECK(waiters.nobody_else());
  c.notify();
  CHECK(waiters.out.get(20s));
  CHECK(waiters.nobody_else());
  {
    const std::scoped_lock g(m);
    c.notify();
  }
  CHECK(waiters.out.get(20s));
  other.join();
  c.notify();  // nobody there: nothing
}

TEST_CASE("_TestCondition.test_notify_all: six time out cleanly, six others are all woken") {
  EACH_METHOD(how);
  const recursive_mutex m{here()};
  const condition c{here(), m};
  const auto impatient = [](condition it, sink<bool> out) {
    const std::scoped_lock g(it);
    out.put(it.wait(20ms) == errc::timed_out);
  };
  const queue<bool> timed_out{here()};
  std::vector<process> gone;
  for (int i = 0; i < 6; ++i) gone.emplace_back(here(), by(how), impatient, c, timed_out);
  for (int i = 0; i < 6; ++i) CHECK(timed_out.get(20s).value());
  crew waiters(c, 6, how);
  {
    const std::scoped_lock g(m);
    c.notify(2);
  }
  for (int i = 0; i < 2; ++i) CHECK(waiters.out.get(20s));
  CHECK(waiters.nobody_else());
  c.notify_all();
  for (int i = 0; i < 4; ++i) CHECK(waiters.out.get(20s));
  CHECK(waiters.nobody_else());
}

TEST_CASE("_TestCondition.test_timeout: a timed wait without a notification says so, and has the mutex again") {
  const mutex m{here()};
  const condition c{here(), m};
  const std::scoped_lock g(m);
  CHECK(c.wait(10ms) == errc::timed_out);
  CHECK(c.wait(-1ms) == errc::timed_out);
  CHECK(m.is_mine());
}

TEST_CASE("_TestCondition.test_waitfor_timeout: a predicate that never holds times out, however often it is notified") {
  EACH_METHOD(how);
  const mutex m{here()};
  const condition c{here(), m};
  const queue<int> end{here()};
  const process p{here(), by(how),
                  [](condition it, source<int> stop) {
                    while (!stop.get(1ms)) it.notify_all();
                  },
                  c, end};
  const std::scoped_lock g(m);
  int asked = 0;
  // At first, and when the time is over; more often, as soon as that one notifies.
  while (asked <= 2) {
    asked = 0;
    REQUIRE(c.wait_for([&] { return ++asked, false; }, 60ms) == errc::timed_out);
  }
  CHECK(c.wait_for([&] { return ++asked > 10; }, 20s));
  c.wait_for([] { return true; });
  end.put(1);
}

TEST_CASE("only the mutex's owner waits; a recursive mutex is given up whole, and comes back as it was") {
  const recursive_mutex m{here()};
  const condition c{here(), m};
  CHECK(c.wait(1s) == errc::not_owner);
  m.lock(), m.lock();
  std::thread other([&] {
    const std::scoped_lock g(m);
    c.notify();
  });
  CHECK(c.wait(20s));
  other.join();
  m.unlock();
  CHECK(m.is_mine());
  m.unlock();
  CHECK_FALSE(m.is_mine());
}

TEST_CASE("promise 09: waiters that are killed are no matter to notify, and swallow no notification") {
  EACH_METHOD(how);
  const mutex m{here()};
  const condition c{here(), m};
  crew waiters(c, 6, how);
  for (const std::size_t i : {0U, 1U, 4U}) {
    waiters.all[i].kill();
    waiters.all[i].join();
  }
  for (int i = 0; i < 3; ++i) c.notify();
  for (int i = 0; i < 3; ++i) CHECK(waiters.out.get(20s));
  CHECK(waiters.nobody_else());
}

TEST_CASE("a process that dies with a notification that it had not come out with leaves it to another") {
  const mutex m{here()};
  const condition c{here(), m};
  const queue<int> up{here()};
  process stopped{here(),
                  [](condition it, sink<int> ready) {
                    const std::scoped_lock g(it);
                    ready.put(1);
                    inject_fault({"wait_notified", 3, fault_action::stop, 0});
                    it.wait();
                  },
                  c, up};
  up.get();
  REQUIRE(harness::eventually([&] { return c.try_lock() ? (c.unlock(), true) : false; }));
  crew waiters(c, 1);
  c.notify();
  stopped.kill();
  CHECK(waiters.out.get(20s));
}

TEST_CASE("a wait without time gives the mutex up, too") {
  const mutex m{here()};
  const condition c{here(), m};
  const queue<int> up{here()}, out{here()};
  const std::scoped_lock g(c);
  const process p{here(),
                  [](mutex it, sink<int> ready, sink<int> say) {
                    ready.put(1);
                    const std::scoped_lock other(it);
                    say.put(1);
                  },
                  m, up, out};
  REQUIRE(up.get(20s));
  while (!out.try_get()) CHECK(c.wait(deadline::passed()) == errc::timed_out);
}

TEST_CASE("a wait that is over before the first process knows of it gives the mutex up, too") {
  const mutex m{here()};
  const condition c{here(), m};
  const queue<int> up{here()}, go{here()};
  // Sees the mutex free while the first process is stopped, and lets all go on.
  const process looks{here(),
                      [](mutex it, pid_t first, sink<int> ready, source<int> in) {
                        ready.put(1);
                        const int waits = in.get();
                        const bool had_it = harness::eventually([&] { return it.try_lock(); });
                        if (had_it) it.unlock();
                        // It is free a moment before it stops.
                        harness::eventually([&] { return !had_it || harness::process_state(waits) == 'T'; });
                        ::kill(first, SIGCONT);
                        ::kill(waits, SIGCONT);
                        if (!had_it) ::_exit(1);
                      },
                      m,
                      ::getpid(),
                      up,
                      go};
  REQUIRE(up.get(20s));
  process waits{here(),
                [](condition it, pid_t first, sink<int> say) {
                  it.lock();
                  static_cast<void>(it.wait(1ms));  // it has what it needs to wait
                  ::kill(first, SIGSTOP);
                  say.put(::getpid());
                  inject_fault({"unlock", 2, fault_action::stop, 0});  // when it is free
                  ::_exit(it.wait(2ms) == errc::timed_out ? 0 : 1);
                },
                c, ::getpid(), go};
  CHECK(looks.join(50s).value() == exit_status::exited(0));
  CHECK(waits.join(50s).value() == exit_status::exited(0));
}

TEST_CASE("who comes out of a wait gets its mutex back, also where that closes a circle: another one gives way, or nobody does") {
  const bool other_gives_way = GENERATE(true, false);
  const mutex m{here(), {.name = "m", .on_deadlock = on_deadlock::error}};
  const mutex b{here(), {.name = "b", .on_deadlock = other_gives_way ? on_deadlock::error : on_deadlock::wait}};
  const condition c{here(), m};
  const queue<deadlock> watched{here()};
  watch_deadlocks(watched);
  const queue<int> up{here()}, out{here()};
  b.lock();
  process waits{here(),
                [](mutex first, condition it, sink<int> ready, sink<int> say) {
                  const std::scoped_lock g(first);
                  const std::scoped_lock h(it);
                  ready.put(1);
                  static_cast<void>(it.wait(20s));
                  say.put(2);
                },
                b,
                c,
                up,
                out};
  b.unlock();
  REQUIRE(up.get(20s));
  std::string said;
  std::thread holds([&] {
    m.lock();  // it waits
    c.notify();
    try {
      b.lock();
      said = b.owner_died() ? "locked after a death" : "locked";
      b.unlock();
    } catch (const failure& f) { said = to_string(f.code()); }
    m.unlock();
  });
  CHECK(watched.get(20s).value().broken == other_gives_way);
  if (other_gives_way) {
    CHECK(out.get(20s));
    CHECK(waits.join(20s).value().success());
  } else {
    CHECK(out.get(20ms) == errc::timed_out);
    waits.kill();
  }
  holds.join();
  CHECK(said == (other_gives_way ? "deadlock" : "locked after a death"));
}

TEST_CASE("a process that is asked to stop while it waits has the mutex when it hears of it") {
  const mutex m{here()};
  const condition c{here(), m};
  const queue<int> up{here()};
  const queue<bool> out{here()};
  process p{here(),
            [](condition it, mutex with, sink<int> ready, sink<bool> say) {
              const std::scoped_lock g(it);
              ready.put(1);
              try {
                it.wait();
              } catch (const failure& f) { say.put(f.code() == errc::stopping && with.is_mine()); }
            },
            c,
            m,
            up,
            out};
  up.get();
  p.terminate();
  CHECK(out.get(20s).value());
  p.join();
  CHECK(m.lock(20s));
  CHECK_FALSE(m.owner_died());
  m.unlock();
}

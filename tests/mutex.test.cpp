// SPDX-License-Identifier: BSD-3-Clause
// Mutexes: what they promise while everybody lives, and when the owner or a waiter does not.
#include "sync_support.hpp"

#include <cloister/actors/deadlock.hpp>
#include <cloister/actors/mutex.hpp>

#include <algorithm>
#include <array>
#include <csignal>
#include <mutex>
#include <stdexcept>
#include <thread>

#include <unistd.h>

using namespace cloister;
using namespace support;

namespace {

// Locks it, says so, and holds it until it is told to go on, or for ever.
void hold(mutex m, sink<int> up, source<int> go) {
  const std::scoped_lock g(m);
  up.put(1);
  go.get();
}

void hold_and_die(mutex m) {
  m.lock();
  ::raise(SIGKILL);
}

struct holder {
  explicit holder(const mutex& m, start_method how = start_method::forkserver) : p(here(), by(how), hold, m, up, go) {
    REQUIRE(up.get(20s));
  }
  ~holder() { p.kill(); }
  queue<int> up{here()}, go{here()};
  process p;
};

}  // namespace

TEST_CASE("_TestLock.test_lock: taken once, refused while it is taken, and only its owner releases it") {
  const mutex m{here()};
  m.lock();
  CHECK(m.is_mine());
  CHECK_FALSE(m.try_lock());
  std::thread([&] { CHECK_FALSE(m.try_lock()); }).join();
  m.unlock();
  CHECK_FALSE(m.is_locked());
  try {
    m.unlock();
    FAIL("unlocked twice");
  } catch (const failure& f) { CHECK(f.code() == errc::not_owner); }
  std::thread([&] { m.lock(), m.unlock(); }).join();
}

TEST_CASE("_TestLock.test_rlock: three locks need three unlocks, a fourth is an error") {
  EACH_METHOD(how);
  {
    process p{here(), by(how), [](node& mine) {
                const recursive_mutex own{mine};
                for (int i = 0; i < 3; ++i) own.lock();
                for (int i = 0; i < 3; ++i) own.unlock();
                try {
                  own.unlock();
                } catch (const failure& f) { ::_exit(f.code() == errc::not_owner ? 0 : 2); }
                ::_exit(1);
              }};
    CHECK(p.join(20s).value() == exit_status::exited(0));
  }
  const recursive_mutex m{here()};
  for (int i = 0; i < 3; ++i) m.lock();
  for (int i = 0; i < 3; ++i) {
    std::thread([&] { CHECK_FALSE(m.try_lock()); }).join();
    m.unlock();
  }
  CHECK_THROWS_AS(m.unlock(), failure);
  std::thread([&] {
    CHECK(m.try_lock());
    m.unlock();
  }).join();
}

TEST_CASE("TestSyncManagerTypes.test_rlock: a child locks it twice, and nobody else has it until it is unlocked as often") {
  EACH_METHOD(how);
  const recursive_mutex m{here()};
  const queue<int> up{here()}, go{here()};
  process p{here(),
            by(how),
            [](recursive_mutex it, sink<int> ready, source<int> in) {
              it.lock();
              it.lock();
              ready.put(1);
              in.get();
              it.unlock();
              ready.put(2);
              in.get();
              it.unlock();
              ready.put(3);
              in.get();
            },
            m,
            up,
            go};
  for (int n = 1; n <= 3; ++n) {
    REQUIRE(up.get(20s).value() == n);
    CHECK(m.try_lock() == (n == 3));
    go.put(1);
  }
  CHECK_FALSE(m.owner_died());
  m.unlock();
}

TEST_CASE("_TestLock.test_lock_context: a scope locks and unlocks, in processes of every start method") {
  EACH_METHOD(how);
  const mutex m{here()};
  const queue<bool> seen{here()};
  std::unique_lock mine(m);
  process p{here(), by(how),
            [](mutex other, sink<bool> out) {
              out.put(other.try_lock());
              { const std::scoped_lock g(other); }
              out.put(true);
            },
            m, seen};
  CHECK_FALSE(seen.get(20s).value());
  CHECK(seen.get(50ms) == errc::timed_out);
  mine.unlock();
  CHECK(seen.get(20s).value());
  CHECK(p.join(20s).value().success());
}

TEST_CASE("a lock keeps out all others, threads and processes, whatever they do first") {
  const mutex m{here()};
  constexpr int rounds = 20'000 / harness::slowdown;
  // A word of shared memory without any order of its own: the lock gives it one.
  const queue<int> out{here()};
  struct counter {
    static void run(mutex a, source<int> in, sink<int> back, int times) {
      for (int i = 0; i < times; ++i) {
        const std::scoped_lock g(a);
        const int n = in.try_get().value();  // there is exactly one, unless two are in here
        back.put(n + 1);
      }
    }
  };
  out.put(0);
  std::vector<process> crew;
  for (int i = 0; i < 3; ++i) crew.emplace_back(here(), counter::run, m, out, out, rounds / 4);
  std::thread other(counter::run, m, out, out, rounds / 4);
  other.join();
  for (auto& p : crew) CHECK(p.join(60s).value().success());
  CHECK(out.get() == 3 * (rounds / 4) + rounds / 4);
}

TEST_CASE("who waits is woken when the lock is free, in a process of every start method") {
  EACH_METHOD(how);
  const mutex m{here()};
  const holder h(m, how);
  CHECK_FALSE(m.try_lock());
  CHECK(m.lock(20ms) == errc::timed_out);
  CHECK_FALSE(m.try_lock_for(1ms));
  h.go.put(1);
  CHECK(m.lock(20s));
  CHECK_FALSE(m.owner_died());
  m.unlock();
}

TEST_CASE("several locks are locked together without an order") {
  const mutex a{here()}, b{here()};
  const queue<int> done{here()};
  const auto both = [](mutex first, mutex second, sink<int> out) {
    for (int i = 0; i < 2000; ++i) const std::scoped_lock g(first, second);
    out.put(1);
  };
  process one{here(), both, a, b, done}, two{here(), both, b, a, done};
  CHECK(done.get(60s));
  CHECK(done.get(60s));
}

TEST_CASE("promise 08: a lock whose owner was killed passes on, and the next owner is told who it was and how it ended") {
  EACH_METHOD(how);
  const mutex m{here(), {.name = "accounts"}};
  process p{here(), {.name = "clerk", .start = how}, hold_and_die, m};
  const auto pid = p.pid();
  CHECK(p.join(20s).value().signal() == SIGKILL);
  REQUIRE(m.lock(20s));
  const auto who = m.owner_died();
  REQUIRE(who);
  CHECK(who->process.pid == pid);
  CHECK(who->process.name == "clerk");
  CHECK(who->exit.signal() == SIGKILL);
  m.unlock();
  m.lock();
  CHECK(m.owner_died());  // until somebody has recovered
  m.recovered();
  CHECK_FALSE(m.owner_died());
  m.unlock();
  m.lock();
  CHECK_FALSE(m.owner_died());
  m.unlock();
}

TEST_CASE("promise 08: the owner is killed a thousand times, and a waiter gets the lock each time", "[deadline:120]") {
  const mutex m{here()};
  for (int i = 0; i < 1000 / harness::slowdown; ++i) {
    const process p{here(), hold_and_die, m};
    bool told = false;
    while (!told) {
      REQUIRE(m.lock(20s));
      told = m.owner_died().has_value();
      m.recovered();
      m.unlock();
    }
  }
}

TEST_CASE(
    "a process that ends with a lock, normally or by an exception, leaves it to the next, who is told who it was, and how it ended") {
  EACH_METHOD(how);
  const bool throws = GENERATE(false, true);
  const mutex m{here()};
  process p{here(),
            {.name = "forgetful", .start = how},
            [](mutex other, bool fails) {
              other.lock();
              if (fails) throw std::runtime_error("forgot it");
            },
            m,
            throws};
  const auto pid = p.pid();
  const auto exit = p.join(20s).value();
  CHECK(exit.success() == !throws);
  REQUIRE(m.try_lock());
  REQUIRE(m.owner_died());
  CHECK(m.owner_died()->process.pid == pid);
  CHECK(m.owner_died()->process.name == "forgetful");
  CHECK(m.owner_died()->exit == exit);
  m.unlock();
}

TEST_CASE("only the owner unlocks it, says that it has recovered, or asks who died") {
  const mutex m{here()};
  m.lock();
  const auto not_mine = [](const mutex& it) {
    int refused = 0;
    const auto count = [&](const auto& call) {
      try {
        call();
      } catch (const failure& f) { refused += f.code() == errc::not_owner ? 1 : 0; }
    };
    count([&] { it.unlock(); });
    count([&] { it.recovered(); });
    count([&] { static_cast<void>(it.owner_died()); });
    return refused;
  };
  std::thread([&] { CHECK(not_mine(m) == 3); }).join();
  const queue<int> out{here()};
  const process p{here(),
                  [](mutex it, sink<int> say) {
                    int refused = 0;
                    try {
                      it.unlock();
                    } catch (const failure& f) { refused = f.code() == errc::not_owner ? 1 : 0; }
                    say.put(refused);
                  },
                  m, out};
  CHECK(out.get(20s).value() == 1);
  CHECK(m.is_mine());
  m.unlock();
}

TEST_CASE("promise 09: dead waiters are passed over") {
  EACH_METHOD(how);
  const mutex m{here()};
  m.lock();
  const queue<int> up{here()}, got{here()};
  const auto wait = [](mutex other, sink<int> ready, sink<int> out, int n) {
    ready.put(n);
    other.lock();
    out.put(n);
    other.unlock();
  };
  std::vector<process> crew;
  for (int i = 0; i < 6; ++i) {
    crew.emplace_back(here(), by(how), wait, m, up, got, i);
    up.get();
    REQUIRE(harness::eventually([&] { return harness::asleep(crew.back().pid()); }, 20s));
  }
  for (const int i : {0, 2, 5}) crew[static_cast<std::size_t>(i)].kill();
  m.unlock();
  std::vector<int> all;
  for (int i = 0; i < 3; ++i) all.push_back(got.get(20s).value());
  std::sort(all.begin(), all.end());
  CHECK(all == std::vector{1, 3, 4});
  CHECK(m.lock(20s));
  CHECK_FALSE(m.owner_died());
  m.unlock();
}

TEST_CASE("a process that is asked to stop leaves the queue; its lock() says stopping") {
  const mutex m{here()};
  m.lock();
  const queue<int> up{here()};
  const queue<std::string> heard{here()};
  process p{here(),
            [](mutex other, sink<int> ready, sink<std::string> out) {
              ready.put(1);
              try {
                other.lock();
              } catch (const failure& f) { out.put(std::string(to_string(f.code()))); }
            },
            m, up, heard};
  up.get();
  p.terminate();
  CHECK(heard.get(20s).value() == "stopping");
  p.join();
  m.unlock();
  CHECK(m.try_lock());
  m.unlock();
}

TEST_CASE("handles of mutexes travel in messages, and an unused place is used again") {
  const queue<mutex> q{here()};
  const auto before = count_descriptors(::getpid());
  for (int i = 0; i < 5000 / harness::slowdown; ++i) {
    q.put(mutex{here()});
    const auto m = q.get();
    const std::scoped_lock g(m);
  }
  // An arena has one, and some three hundred places; those that are free again are known a moment later.
  CHECK(count_descriptors(::getpid()) <= before + 7);
  CHECK_FALSE(mutex());
  CHECK_THROWS_AS(mutex().lock(), failure);
  CHECK_THROWS_AS(q.put(mutex()), failure);
}

// SPDX-License-Identifier: BSD-3-Clause
// Semaphores: counting, waiting, and what becomes of the tokens of processes that end.
#include "process_support.hpp"

#include <cloister/actors/internal/token_table.hpp>
#include <cloister/actors/semaphore.hpp>

#include <csignal>
#include <mutex>

#include <unistd.h>

using namespace cloister;
using namespace support;

namespace {

void take_and_die(semaphore s, int tokens) {
  for (int i = 0; i < tokens; ++i) s.acquire();
  ::raise(SIGKILL);
}

// The hub and the actor may take a moment to hear of a death.
bool comes_to(const semaphore& s, std::size_t value) {
  return harness::eventually([&] { return s.value() == value; }, 20s);
}

// In a child, whose exit code says which one failed.
void require(int number, bool holds) {
  if (!holds) ::_exit(number);
}

}  // namespace

TEST_CASE("_TestSemaphore.test_semaphore: it counts down to 0 and up again, also beyond where it began") {
  EACH_METHOD(how);
  const semaphore s{here(), 2};
  process p{here(), by(how),
            [](semaphore it) {
              require(1, it.value() == 2);
              it.acquire();
              require(2, it.value() == 1);
              it.acquire();
              require(3, it.value() == 0);
              require(4, !it.try_acquire());
              it.release();
              require(5, it.value() == 1);
              it.release(3);
              require(6, it.value() == 4);
            },
            s};
  CHECK(p.join(20s).value() == exit_status::exited(0));
  CHECK(s.value() == 4);
  for (int i = 0; i < 4; ++i) s.acquire();
  CHECK_FALSE(s.try_acquire());
}

TEST_CASE("_TestSemaphore.test_bounded_semaphore: the same, but not beyond where it began") {
  EACH_METHOD(how);
  const bounded_semaphore s{here(), 2};
  process p{here(), by(how),
            [](bounded_semaphore it) {
              it.acquire();
              it.acquire();
              require(1, !it.try_acquire());
              it.release(2);
              try {
                it.release();
                require(2, false);
              } catch (const failure& f) { require(3, f.code() == errc::invalid); }
              require(4, it.value() == 2);
            },
            s};
  CHECK(p.join(20s).value() == exit_status::exited(0));
  CHECK_THROWS_AS(s.release(), failure);
}

TEST_CASE("_TestSemaphore.test_timeout: at 0 it says so at once, or after the time given") {
  EACH_METHOD(how);
  const semaphore s{here(), 0};
  process p{here(), by(how),
            [](semaphore it) {
              require(1, !it.try_acquire());
              require(2, !it.try_acquire_for(1ms));
              const auto began = std::chrono::steady_clock::now();
              require(3, it.acquire(30ms) == errc::timed_out);
              require(4, std::chrono::steady_clock::now() - began >= 30ms);
              require(5, it.acquire(-1s) == errc::timed_out);
            },
            s};
  CHECK(p.join(20s).value() == exit_status::exited(0));
  CHECK_THROWS_AS((semaphore{here(), detail::token_handle::most_tokens + 1}), failure);
}

TEST_CASE("who waits gets the next token, in a process of every start method") {
  EACH_METHOD(how);
  const semaphore s{here(), 0};
  const queue<int> up{here()}, got{here()};
  process p{here(),
            by(how),
            [](semaphore other, sink<int> ready, sink<int> out) {
              ready.put(1);
              other.acquire();
              out.put(1);
            },
            s,
            up,
            got};
  up.get();
  CHECK(got.get(20ms) == errc::timed_out);
  s.release();
  CHECK(got.get(20s));
  CHECK(p.join(20s).value().success());
}

TEST_CASE("never more processes and threads than tokens are between acquire and release") {
  const semaphore s{here(), 2}, inside{here(), 2};  // the second one never has to be waited for
  const auto work = [](semaphore outer, semaphore inner, int times) {
    for (int i = 0; i < times; ++i) {
      const std::scoped_lock g(outer);
      if (!inner.try_acquire()) ::_exit(3);
      inner.release();
    }
  };
  constexpr int times = 20'000 / harness::slowdown;
  std::vector<process> crew;
  for (int i = 0; i < 4; ++i) crew.emplace_back(here(), work, s, inside, times);
  std::thread one([&] { work(s, inside, times); }), two([&] { work(s, inside, times); });
  one.join();
  two.join();
  for (auto& p : crew) CHECK(p.join(60s).value().success());
  CHECK(s.value() == 2);
  CHECK(inside.value() == 2);
}

TEST_CASE("promise 08: the tokens of a process that is killed come back, each once") {
  EACH_METHOD(how);
  const semaphore s{here(), 3};
  process p{here(), by(how), take_and_die, s, 2};
  CHECK(p.join(20s).value().signal() == SIGKILL);
  CHECK(s.value() == 3);  // before anybody hears of the death
  s.acquire();
  process q{here(), by(how), take_and_die, s, 1};
  q.join();
  CHECK(s.value() == 2);
}

TEST_CASE("promise 08: a holder is killed a thousand times, and the value is what it was", "[deadline:120]") {
  const semaphore s{here(), 5};
  for (int i = 0; i < 1000 / harness::slowdown; ++i) {
    const process p{here(), take_and_die, s, 1 + i % 5};
    if (i % 2 == 0) {
      REQUIRE(s.acquire(20s));
      s.release();
    }
  }
  CHECK(comes_to(s, 5));
}

TEST_CASE("TestSyncManagerTypes.test_semaphore: what a process took that has ended, another one releases") {
  EACH_METHOD(how);
  const bounded_semaphore s{here(), 2};
  process p{here(), by(how), [](bounded_semaphore other) { other.acquire(); }, s};
  CHECK(p.join(20s).value().success());
  CHECK(s.value() == 1);
  s.release();
  CHECK(s.value() == 2);
  CHECK_THROWS_AS(s.release(), failure);
}

TEST_CASE("one process acquires, another releases: the first has nothing then that could come back") {
  const semaphore s{here(), 0};
  const queue<int> up{here()};
  process p{here(),
            [](semaphore other, sink<int> out) {
              for (int i = 0; i < 100; ++i) {
                other.acquire();
                out.put(i);
              }
              other.acquire();  // stays until it is killed
            },
            s, up};
  for (int i = 0; i < 100; ++i) {
    s.release();
    CHECK(up.get(20s).value() == i);
  }
  p.kill();
  p.join();
  CHECK(s.acquire(20s));         // the last token, which nobody else took
  CHECK_FALSE(s.try_acquire());  // and not a hundred more
}

TEST_CASE("promise 25: a process that is killed while it waits takes no token with it") {
  EACH_METHOD(how);
  const semaphore s{here(), 0};
  const queue<int> up{here()};
  const auto wait = [](semaphore other, sink<int> ready) {
    ready.put(1);
    other.acquire();
    other.release();
  };
  std::vector<process> crew;
  for (int i = 0; i < 4; ++i) {
    crew.emplace_back(here(), by(how), wait, s, up);
    up.get();
    REQUIRE(harness::eventually([&] { return harness::asleep(crew.back().pid()); }, 20s));
  }
  crew[0].kill();
  crew[2].kill();
  s.release();
  CHECK(crew[1].join(20s).value().success());
  CHECK(crew[3].join(20s).value().success());
  CHECK(comes_to(s, 1));
}

TEST_CASE("more processes have tokens at once than there are entries", "[deadline:120]") {
  constexpr int more = 20;
  const int all = static_cast<int>(internal::semaphore_body::entries) - 1 + more;
  const semaphore s{here(), static_cast<std::size_t>(all)};
  const queue<int> up{here()}, go{here()};
  const auto hold = [](semaphore other, sink<int> ready, source<int> end) {
    const std::scoped_lock g(other);
    ready.put(1);
    end.get();
  };
  std::vector<process> crew;
  for (int i = 0; i < all; ++i) crew.emplace_back(here(), hold, s, up, go);
  for (int i = 0; i < all; ++i) REQUIRE(up.get(60s));
  CHECK(s.value() == 0);
  CHECK_FALSE(s.try_acquire());
  for (int i = 0; i < more; ++i) crew[crew.size() - 1 - static_cast<std::size_t>(i)].kill();
  for (int i = 0; i < more; ++i) crew[crew.size() - 1 - static_cast<std::size_t>(i)].join();
  CHECK(comes_to(s, more));
  // This process has no entry: it gets a token by way of the actor, and waits for none that is not there.
  for (int i = 0; i < more; ++i) CHECK(s.try_acquire());
  CHECK_FALSE(s.try_acquire());
  s.release(more);
  for (int i = 0; i < all - more; ++i) go.put(1);
  for (auto& p : crew) p.join();
  CHECK(comes_to(s, static_cast<std::size_t>(all)));
}

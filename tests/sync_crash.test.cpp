// SPDX-License-Identifier: BSD-3-Clause
// Synchronisation at each single step: what others see of a process that is killed, or stopped, there.
#include "sync_support.hpp"

#include <cloister/actors/actors.hpp>

#include <array>
#include <chrono>
#include <csignal>
#include <mutex>
#include <random>
#include <thread>
#include <type_traits>

using namespace cloister;
using namespace support;

namespace {

struct at {
  std::string operation;
  unsigned step = 1;
  bool kill = true;
  void arm() const { inject_fault({operation, step, kill ? fault_action::kill : fault_action::stop, 0}); }
};

// Each step of those operations, killed and stopped.
std::vector<at> steps_of(std::initializer_list<const char*> operations) {
  std::vector<at> all;
  for (const auto* operation : operations)
    for (unsigned step = 1; step <= fault_steps(operation); ++step)
      for (const bool kill : {true, false}) all.push_back({operation, step, kill});
  return all;
}

#define EACH_STEP(here_it_ends, ...)                                       \
  const auto here_it_ends = GENERATE(from_range(steps_of({__VA_ARGS__}))); \
  INFO(here_it_ends.operation << " " << here_it_ends.step << (here_it_ends.kill ? " killed" : " stopped"))

// It has got there.
void require_at_end(const process& p, const at& end) {
  REQUIRE(harness::eventually([&] { return harness::process_state(p.pid()) == (end.kill ? 0 : 'T'); }, 20s));
}

void require_asleep(const process& p) {
  REQUIRE(harness::eventually([&] { return harness::asleep(p.pid()); }, 20s));
}

// A step within a loop may come again.
void go_on(const process& p) {
  REQUIRE(harness::eventually(
      [&] {
        if (harness::process_state(p.pid()) == 'T') ::kill(p.pid(), SIGCONT);
        return p.join(1ms).has_value();
      },
      20s));
  CHECK(p.join().success());
}

void use(mutex m, at end) {
  end.arm();
  const std::scoped_lock g(m);
}
void use(semaphore s, at end) {
  end.arm();
  const std::scoped_lock g(s);
}
void wait_for_lock(mutex m, sink<bool> out) {
  m.lock();
  out.put(m.owner_died().has_value());
  m.recovered();
  m.unlock();
}
void wait_for_token(semaphore s, sink<bool> out) {
  s.acquire();
  out.put(true);
  s.release();
}

}  // namespace

TEST_CASE("a mutex's user is killed or stopped at a step: whoever waits gets the lock, and is told if the other had it") {
  EACH_STEP(end, "lock", "unlock");
  const bool handed_over = GENERATE(false, true);  // by the actor, to who waited
  INFO("handed over: " << handed_over);
  const open<mutex> m{here()};
  const queue<bool> out{here()};
  const bool waits = handed_over && !(end.operation == "lock" && end.step == 1);
  if (waits) m.lock();
  const process victim{here(), static_cast<void (*)(mutex, at)>(use), m.handle(), end};
  if (waits) require_turn(m);
  else require_at_end(victim, end);
  const process waiter{here(), wait_for_lock, m.handle(), out};
  if (waits) {
    require_asleep(waiter);
    m.unlock();
    require_at_end(victim, end);
  }
  const bool had_it = (end.operation == "lock") == (end.step == 2);
  if (!end.kill) {
    if (had_it) CHECK(m.lock(20ms) == errc::timed_out);
    else CHECK_FALSE(out.get(20s).value());
    go_on(victim);
  }
  if (end.kill || had_it) CHECK(out.get(20s).value() == (end.kill && had_it));
  REQUIRE(m.lock(20s));
  CHECK_FALSE(m.owner_died());
  m.unlock();
}

TEST_CASE("a semaphore's user is killed or stopped at a step: its token comes back, once, and whoever waits gets it") {
  EACH_STEP(end, "acquire", "release");
  const bool somebody_waits = GENERATE(false, true);
  INFO("somebody waits: " << somebody_waits);
  const semaphore s{here(), 1};
  const queue<bool> out{here()};
  const process victim{here(), static_cast<void (*)(semaphore, at)>(use), s, end};
  std::optional<process> waiter;
  const bool had_it = (end.operation == "acquire") == (end.step == 2);
  require_at_end(victim, end);
  if (somebody_waits) waiter.emplace(here(), wait_for_token, s, out);
  if (!end.kill) {
    if (had_it) CHECK(s.acquire(20ms) == errc::timed_out);
    else if (waiter) CHECK(out.get(20s));
    go_on(victim);
  }
  if (waiter && (end.kill || had_it)) CHECK(out.get(20s));
  if (waiter) CHECK(waiter->join(20s).value().success());
  REQUIRE(s.acquire(20s));
  CHECK_FALSE(s.try_acquire());
  s.release();
  CHECK(s.value() == 1);
}

// What a mutex and a semaphore of one token have in common.
TEMPLATE_TEST_CASE("one who frees it and stops before saying so is no matter to who waits, also when its turn has come", "", mutex,
                   semaphore) {
  const open<TestType> it{here()};
  const queue<bool> out{here()}, up{here()}, go{here()};
  const process victim{here(),
                       [](TestType its, sink<bool> ready, source<bool> in) {
                         const std::scoped_lock g(its);
                         ready.put(true);
                         in.get();
                         inject_fault({std::is_same_v<TestType, mutex> ? "unlock" : "release", 2, fault_action::stop, 0});
                       },
                       it.handle(), up, go};
  REQUIRE(up.get(20s));
  const process waiter{here(),
                       [](TestType its, sink<bool> say) {
                         const std::scoped_lock g(its);
                         say.put(true);
                       },
                       it.handle(), out};
  require_turn(it);
  go.put(true);
  require_at_end(victim, {"", 1, false});
  CHECK(out.get(20s));
  go_on(victim);
}

constexpr int patient = 1, greedy = 2;

TEMPLATE_TEST_CASE("whose turn it is gets it, whoever else tries all the time", "", mutex, semaphore) {
  const open<TestType> it{here()};
  const queue<int> up{here()}, out{here()}, over{here()};
  const auto free = [&] {
    if constexpr (std::is_same_v<TestType, mutex>) it.unlock();
    else it.release();
  };
  const auto take = [&] {
    if constexpr (std::is_same_v<TestType, mutex>) return it.lock(20s).has_value();
    else return it.acquire(20s).has_value();
  };
  for (int round = 0; round < 20; ++round) {
    REQUIRE(take());
    process waits{here(),
                  [](TestType its, sink<int> say, source<int> end) {
                    const std::scoped_lock g(its);
                    say.put(patient);
                    end.get();
                  },
                  it.handle(), out, over};
    require_turn(it);
    process tries{here(),
                  [](TestType its, sink<int> ready, sink<int> say) {
                    ready.put(1);
                    const auto taken = [&] {
                      if constexpr (std::is_same_v<TestType, mutex>) return its.try_lock();
                      else return its.try_acquire();
                    };
                    while (!taken()) {}
                    say.put(greedy);
                    if constexpr (std::is_same_v<TestType, mutex>) its.unlock();
                    else its.release();
                  },
                  it.handle(), up, out};
    REQUIRE(up.get(20s));
    free();
    REQUIRE(out.get(20s).value() == patient);
    over.put(1);
    REQUIRE(out.get(20s).value() == greedy);
    REQUIRE(waits.join(20s).value().success());
    REQUIRE(tries.join(20s).value().success());
  }
}

// There is one number in the queue of each lock: who finds none is not alone.
TEST_CASE("time-outs that meet grants of mutexes: nobody believes to have another one than it has, and in the end nobody has any") {
  const std::array m{mutex{here()}, mutex{here()}};
  const std::array inside{queue<int>{here()}, queue<int>{here()}};
  for (const auto& q : inside) q.put(1);
  const auto hurry = [](mutex a, mutex b, queue<int> in_a, queue<int> in_b, unsigned seed) {
    std::minstd_rand random(seed);
    for (int i = 0; i < 4000 / harness::slowdown; ++i) {
      const bool first = random() % 2 == 0;
      const auto& which = first ? a : b;
      const auto& in = first ? in_a : in_b;
      if (!which.lock(std::chrono::microseconds(random() % 150))) continue;
      const int number = in.try_get().value();
      for (const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 60);
           std::chrono::steady_clock::now() < until;) {}
      in.put(number);
      which.unlock();
    }
  };
  std::vector<process> crew;
  for (unsigned i = 0; i < 6; ++i) crew.emplace_back(here(), hurry, m[0], m[1], inside[0], inside[1], i);
  for (auto& p : crew) CHECK(p.join(50s).value().success());
  for (const auto& it : m) {
    REQUIRE(it.lock(20s));
    CHECK_FALSE(it.owner_died());
    it.unlock();
  }
}

TEST_CASE("time-outs that meet grants of tokens: in the end all are there") {
  const semaphore s{here(), 2};
  const auto hurry = [](semaphore its, unsigned seed) {
    std::minstd_rand random(seed);
    for (int i = 0; i < 4000 / harness::slowdown; ++i) {
      if (!its.acquire(std::chrono::microseconds(random() % 150))) continue;
      for (const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 60);
           std::chrono::steady_clock::now() < until;) {}
      its.release();
    }
  };
  std::vector<process> crew;
  for (unsigned i = 0; i < 6; ++i) crew.emplace_back(here(), hurry, s, i);
  for (auto& p : crew) CHECK(p.join(50s).value().success());
  CHECK(s.value() == 2);
}

TEST_CASE("time-outs that meet the last arrival at a barrier: of each round all pass, or none") {
  constexpr std::size_t parties = 3;
  const barrier b{here(), parties};
  const queue<std::array<int, parties>> out{here()};
  const auto hurry = [](barrier it, sink<std::array<int, parties>> say, unsigned seed) {
    std::minstd_rand random(seed);
    std::array<int, parties> passed{};
    unsigned most = 300;
    // Who is left when another one is done misses each time.
    const auto end = std::chrono::steady_clock::now() + 15s;
    for (int i = 0, missed = 0; i < 3000 / harness::slowdown && std::chrono::steady_clock::now() < end; ++i) {
      if (const auto index = it.wait(std::chrono::microseconds(random() % most))) {
        ++passed.at(*index);
        most = 300;
        missed = 0;
        continue;
      } else if (index == errc::timed_out) {
        it.reset();  // by who broke it: a reset by each would be the end of the others' next round
      }
      for (int n = 0; it.broken() && n < 1000; ++n) std::this_thread::yield();  // for ever, if that was one who is done
      if (++missed % 50 == 0 && most < 100'000) most *= 2;                      // too short for processors as busy as this
    }
    say.put(passed);
  };
  std::vector<process> crew;
  for (unsigned i = 0; i < parties; ++i) crew.emplace_back(here(), hurry, b, out, i);
  std::array<int, parties> all{};
  for (std::size_t i = 0; i < parties; ++i) {
    const auto passed = out.get(50s).value();
    for (std::size_t n = 0; n < parties; ++n) all.at(n) += passed.at(n);
  }
  CHECK(all[0] > 0);
  CHECK(all[0] == all[1]);
  CHECK(all[1] == all[2]);
}

TEST_CASE("one who arrives at a barrier as it was before a reset is not one of those after it") {
  const barrier b{here(), 2};
  const queue<std::string> out{here()};
  const process late{here(),
                     [](barrier it, sink<std::string> say) {
                       inject_fault({"meet", 1, fault_action::stop, 0});
                       const auto got = it.wait(20s);
                       say.put(got ? "passed" : std::string(to_string(got.error().code())));
                     },
                     b, out};
  require_at_end(late, {"", 1, false});
  b.reset();
  go_on(late);
  CHECK(out.get(20s).value() == "barrier_broken");
  CHECK(b.n_waiting() == 0);
  CHECK_FALSE(b.broken());
}

TEST_CASE("who gives a token back gives its own, whoever took the last one") {
  const semaphore s{here(), 2};
  const queue<int> up{here()};
  s.acquire();
  process p{here(), [](semaphore it, sink<int> ready) { it.acquire(), ready.put(1), sleep_long(); }, s, up};
  REQUIRE(up.get(20s));
  s.release();
  CHECK(s.value() == 1);
  p.kill();
  p.join();
  CHECK(s.value() == 2);
}

TEST_CASE("what a process gave back stays given back, whoever takes it next and dies") {
  const bounded_semaphore s{here(), 1};
  const queue<int> up{here()}, go{here()};
  process p{here(),
            [](bounded_semaphore it, sink<int> ready, source<int> in) {
              it.acquire();
              it.release();
              ready.put(0);
              in.get();
              ready.put(it.try_acquire() ? 1 : 0);  // which settles that the other one has it
              in.get();
              it.acquire();
              ready.put(2);
              sleep_long();
            },
            s, up, go};
  REQUIRE(up.get(20s).value() == 0);
  s.acquire();
  go.put(1);
  REQUIRE(up.get(20s).value() == 0);
  s.release();
  go.put(1);
  REQUIRE(up.get(20s).value() == 2);
  p.kill();
  p.join();
  CHECK(s.value() == 1);
  CHECK_THROWS_AS(s.release(), failure);
}

TEST_CASE("what was given to one that never heard of it, and is killed, goes on to the next as if nothing had been") {
  const open<mutex> m{here()};
  const open<semaphore> s{here(), 0};
  const queue<bool> out{here()};
  const bool token = GENERATE(false, true);
  INFO("a token: " << token);
  m.lock();
  const process deaf{here(),
                     [](mutex a, semaphore b, bool of_b) {
                       if (of_b) b.acquire();
                       else a.lock();
                     },
                     m.handle(), s.handle(), token};
  token ? require_turn(s) : require_turn(m);
  ::kill(deaf.pid(), SIGSTOP);
  require_at_end(deaf, {"", 1, false});
  if (token) {
    s.release();
    CHECK(harness::eventually([&] { return s.value() == 0; }, 20s));  // taken for it
    CHECK_FALSE(s.try_acquire());
  } else {
    m.unlock();
    // Free for whoever comes first, until it is given to the one that waits; then it is locked until that one is dead.
    CHECK(harness::eventually([&] { return m.is_locked(); }, 20s));
    CHECK_FALSE(m.try_lock());
  }
  deaf.kill();
  if (token) {
    CHECK(s.acquire(20s));
    CHECK_FALSE(s.try_acquire());
  } else {
    REQUIRE(m.lock(20s));
    CHECK_FALSE(m.owner_died());
    m.unlock();
  }
}

TEST_CASE("a condition's waiter is killed or stopped at a step: the others are notified, and the mutex is nobody's") {
  EACH_STEP(end, "wait_notified");
  const mutex m{here()};
  const condition c{here(), m};
  const queue<int> up{here()}, out{here()};
  const process victim{here(),
                       [](condition it, sink<int> ready, at when) {
                         when.arm();
                         const std::scoped_lock g(it);
                         ready.put(1);
                         it.wait();
                       },
                       c, up, end};
  REQUIRE(up.get(20s));
  const bool waits_first = end.step == 3;  // it gets there when it is notified
  if (!waits_first) require_at_end(victim, end);
  if (!end.kill && end.step == 1) {
    CHECK(m.lock(20ms) == errc::timed_out);  // it has it
    victim.kill();
  }
  process other{here(),
                [](condition it, sink<int> ready, sink<int> say) {
                  const std::scoped_lock g(it);
                  ready.put(1);
                  it.wait();
                  say.put(1);
                },
                c, up, out};
  REQUIRE(up.get(20s));
  { const std::scoped_lock g(c); }  // only registered it gives that up
  if (waits_first) {
    c.notify();
    require_at_end(victim, end);
    if (end.kill) CHECK(out.get(20s));  // in its place
  }
  if (out.empty()) c.notify_all();
  CHECK(other.join(20s).value().success());
  REQUIRE(m.lock(20s));
  CHECK(m.owner_died().has_value() == (end.step == 1));
  m.unlock();
  victim.kill();
}

TEST_CASE("a party is killed or stopped at a step: the barrier breaks for the others, at once or when they will wait no more") {
  EACH_STEP(end, "meet");
  struct nothing {
    void operator()() const {}
  };
  const barrier b{here(), 2, nothing{}};
  const queue<std::string> out{here()};
  const auto meet = [](barrier it, sink<std::string> say, int milliseconds) {
    const auto got = it.wait(std::chrono::milliseconds(milliseconds));
    say.put(got ? "passed" : std::string(to_string(got.error().code())));
  };
  const auto victim_meets = [](barrier it, at when) {
    when.arm();
    static_cast<void>(it.wait(20s));
  };
  std::optional<process> other;
  const auto let_other_come = [&] { other.emplace(here(), meet, b, out, end.kill ? 20'000 : 3000); };
  const bool comes_last = end.step > 2;  // so that it is the one to act
  if (comes_last) {
    let_other_come();
    REQUIRE(harness::eventually([&] { return b.n_waiting() == 1; }, 20s));
  }
  const process victim{here(), victim_meets, b, end};
  require_at_end(victim, end);
  if (!comes_last) let_other_come();
  if (end.kill || comes_last) {
    CHECK(out.get(20s).value() == (end.kill ? "barrier_broken" : "timed_out"));
    CHECK(harness::eventually([&] { return b.broken(); }, 20s));
  } else {
    // Stopped before it said that it is there, or after that.
    CHECK(out.get(20s).value() == (end.step == 1 ? "timed_out" : "passed"));
  }
  victim.kill();
}

TEST_CASE("an event's setter is killed or stopped at a step: set or not, nobody sleeps through it") {
  EACH_STEP(end, "set");
  const event e{here()};
  const queue<int> out{here()};
  const process waiter{here(), [](event it, sink<int> say) { it.wait(), say.put(1); }, e, out};
  require_asleep(waiter);
  const process setter{here(),
                       [](event it, at when) {
                         when.arm();
                         it.set();
                       },
                       e, end};
  require_at_end(setter, end);
  if (end.step == 1) {
    CHECK_FALSE(e.is_set());
    e.set();
  }
  CHECK(out.get(20s));
  setter.kill();
}

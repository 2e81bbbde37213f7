// SPDX-License-Identifier: BSD-3-Clause
// The event count and the stop flag among real threads and processes: waking, deadlines, stops, bells, deaths, stress.
#include "harness.hpp"

#include <cloister/detail/event_count.hpp>
#include <cloister/detail/memory.hpp>

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <deque>
#include <memory>
#include <new>
#include <optional>

using namespace cloister;
using namespace cloister::detail;
using namespace std::chrono_literals;

namespace {

using std::memory_order_acquire;
using std::memory_order_release;

// A state in memory shared with the children of this test.
template <class T>
class shared {
 public:
  shared() : memory_(memory::create("test", sizeof(T), sizeof(T)).value()), object_(new (memory_.data()) T{}) {}
  T* operator->() const { return object_; }

 private:
  memory memory_;
  T* object_;
};

// Waiters take tokens, notifiers put them: what a queue is to an event count. At most four lie there, so both sides sleep often.
struct tokens {
  event_count available, room;
  alignas(64) std::atomic<std::uint32_t> there{0};
  std::atomic<std::uint32_t> taken{0};
  std::atomic<std::uint32_t> sum{0};

  bool try_change(std::uint32_t from_at_least, std::uint32_t from_at_most, int by) {
    auto n = there.load(memory_order_acquire);
    while (n >= from_at_least && n <= from_at_most)
      if (there.compare_exchange_weak(n, n + static_cast<std::uint32_t>(by))) return true;
    return false;
  }
  void give() {
    room.wait([this] { return try_change(0, 3, 1); }, deadline::never());
    available.notify_one();
    if (there.load() < 4) room.notify_one();  // passes the wake on, as queues do
  }
  void take() {
    available.wait([this] { return try_change(1, 4, -1); }, deadline::never());
    taken.fetch_add(1);
    room.notify_one();
    if (there.load() != 0) available.notify_one();
  }
  void wake_all() {
    available.notify_all();
    room.notify_all();
  }
};

struct no_spinning {
  no_spinning() { spin_budget::set_spinning(false); }
  ~no_spinning() { spin_budget::set_spinning(true); }
};

}  // namespace

TEST_CASE("a wait tries first, and with a passed deadline tries once") {
  event_count e;
  int tries = 0;
  CHECK(e.wait([&] { return ++tries == 1; }, deadline::passed()) == wait_status::ready);
  CHECK(e.wait([&] { return ++tries == 0; }, deadline::passed()) == wait_status::timed_out);
  CHECK(tries == 2);
  const auto began = deadline::now();
  CHECK(e.wait([] { return false; }, 20ms) == wait_status::timed_out);
  CHECK(deadline::now() - began >= 20'000'000);
}

TEST_CASE("a notification without sleepers changes nothing, and a dead sleeper costs one system call, once") {
  const no_spinning quiet;
  shared<event_count> e;
  const auto bytes = [&] {
    std::array<std::uint64_t, 8> copy{};
    std::memcpy(copy.data(), e.operator->(), sizeof copy);
    return copy;
  };
  const auto fresh = bytes();
  e->notify_one();
  CHECK(bytes() == fresh);
  CHECK_FALSE(e->has_sleepers());
  {
    harness::child victim([&] { e->wait([] { return false; }, deadline::never()); });
    REQUIRE(harness::eventually([&] { return harness::asleep(victim.pid()); }));
    CHECK(e->has_sleepers());
  }
  const auto haunted = bytes();
  e->notify_one();
  CHECK(bytes() != haunted);
  CHECK_FALSE(e->has_sleepers());
  const auto cleared = bytes();
  e->notify_one();
  CHECK(bytes() == cleared);
}

TEST_CASE("a stop wakes every thread that sleeps, more than the table holds included") {
  const no_spinning quiet;
  const unsigned threads = GENERATE(1U, 2U, sleep_table_size + 20);
  const auto end = harness::forked([threads] {
    struct sigaction action {};
    action.sa_handler = [](int) { request_stop(errc::stopping); };
    ::sigaction(SIGTERM, &action, nullptr);
    std::vector<event_count> events(threads);
    auto& e = events[0];
    std::atomic<unsigned> stopped{0}, announced{0};
    std::vector<std::thread> all;
    for (unsigned i = 0; i < threads; ++i)
      all.emplace_back([&, i] {
        unsigned tries = 0;
        const auto attempt = [&] {
          if (++tries == 2) ++announced;  // those beyond the table try again and again
          return false;
        };
        if (events[i].wait(attempt, deadline::never()) == wait_status::stopped) ++stopped;
      });
    REQUIRE(harness::eventually([&] { return announced == threads; }));
    REQUIRE(stop_reason() == std::nullopt);
    ::raise(SIGTERM);
    for (auto& t : all) t.join();
    REQUIRE(stopped == threads);
    REQUIRE(stop_reason() == errc::stopping);
    request_stop(errc::interrupted);
    REQUIRE(stop_reason() == errc::stopping);  // the first reason stays
    REQUIRE(e.wait([] { return true; }, deadline::never()) == wait_status::ready);
    REQUIRE(e.wait([] { return false; }, deadline::never()) == wait_status::stopped);
    clear_stop();
    REQUIRE(e.wait([] { return false; }, 1ms) == wait_status::timed_out);
  });
  CHECK(end == exit_status::exited(0));
}

TEST_CASE("no stop falls between a thread's check and its sleep") {
  const no_spinning quiet;
  const auto end = harness::forked([] {
    struct sigaction action {};
    action.sa_handler = [](int) { request_stop(errc::stopping); };
    ::sigaction(SIGUSR1, &action, nullptr);
    // Each round has an event count of its own, in memory that is gone right after the wait: no handler may touch it then.
    const int rounds = 20'000 / harness::slowdown;
    std::atomic<int> go{1}, begun{0}, ended{0};
    const auto until_equal = [](std::atomic<int>& a, int n) {
      while (a.load() != n) ::sched_yield();
    };
    std::thread sleeper([&] {
      for (int i = 1; i <= rounds; ++i) {
        until_equal(go, i);
        auto e = std::make_unique<event_count>();
        begun.store(i);
        if (e->wait([] { return false; }, deadline::never()) != wait_status::stopped) ::_exit(2);
        e.reset();
        ended.store(i);
      }
    });
    for (int i = 1; i <= rounds; ++i) {
      until_equal(begun, i);
      for (int delay = i % 300; delay > 0; --delay) cpu_relax();
      if (i % 2 == 0) ::pthread_kill(sleeper.native_handle(), SIGUSR1);
      else request_stop(errc::stopping);
      until_equal(ended, i);
      clear_stop();
      go.store(i + 1);
    }
    sleeper.join();
  });
  CHECK(end == exit_status::exited(0));
}

TEST_CASE("a stop right before the sleep ends the wait") {
  const no_spinning quiet;
  const unsigned step = GENERATE(1U, 2U);  // the flag was checked, the thread does not sleep yet
  shared<event_count> e;
  harness::child waiter([&] {
    struct sigaction action {};
    action.sa_handler = [](int) { request_stop(errc::stopping); };
    ::sigaction(SIGTERM, &action, nullptr);
    inject_fault({"wait", step, fault_action::stop});
    return e->wait([] { return false; }, deadline::never()) == wait_status::stopped;
  });
  REQUIRE(waiter.wait_stopped());
  waiter.signal(SIGTERM);
  waiter.signal(SIGCONT);  // runs the handler, then goes on to sleep
  CHECK(waiter.wait() == exit_status::exited(0));
}

TEST_CASE("the stop descriptor is readable exactly while a stop is asked for, whenever it was made") {
  const auto readable = [] {
    pollfd p{stop_fd(), POLLIN, 0};
    return ::poll(&p, 1, 0) == 1;
  };
  const auto end = harness::forked([&] {
    request_stop(errc::interrupted);
    REQUIRE(readable());
    clear_stop();
    REQUIRE_FALSE(readable());
    request_stop(errc::stopping);
    REQUIRE(readable());
    const auto inner = harness::forked([&] {  // a child has a descriptor of its own
      REQUIRE((stop_requested() && readable()));
      clear_stop();
      REQUIRE_FALSE(readable());
    });
    REQUIRE(inner == exit_status::exited(0));
    REQUIRE(readable());
  });
  CHECK(end == exit_status::exited(0));
}

TEST_CASE("an armed bell rings once for each arming, and only for who can ring it") {
  event_count e;
  int rings = 0;
  const bell_ringer ringer{[](void* n) noexcept { ++*static_cast<int*>(n); }, &rings};
  e.notify_one(ringer);
  e.notify_all(ringer);
  e.nudge(ringer);
  CHECK(rings == 0);  // never armed: no bell exists
  e.arm_bell();
  e.notify_one();
  CHECK(rings == 0);
  e.notify_one(ringer);
  e.notify_one(ringer);
  CHECK(rings == 1);
  e.notify_all(ringer);  // a notifier may have died between disarming and ringing
  CHECK(rings == 2);
  e.nudge(ringer);  // or may have stopped there
  CHECK(rings == 3);
  e.arm_bell();
  e.notify_all(ringer);
  CHECK(rings == 4);
}

// Who dies or stops where, and whether the sleeping survivor learns of the token before anybody looks after it.
TEST_CASE("a waiter or notifier that is killed or stopped at any step keeps no token from a survivor") {
  const no_spinning quiet;
  struct row {
    const char* operation;
    unsigned step;
    bool survivor_wakes_alone;
  };
  const auto r = GENERATE(row{"wait", 1, true}, row{"wait", 2, true}, row{"wait", 3, false},  // woken, not yet acted: swallowed
                          row{"notify", 1, false}, row{"notify", 2, false},                   // committed, nobody woken
                          row{"notify", 3, true});
  const auto action = GENERATE(fault_action::kill, fault_action::stop);
  INFO(r.operation << " step " << r.step << (action == fault_action::kill ? " kill" : " stop"));
  const bool waits = std::string_view(r.operation) == "wait";
  shared<tokens> t;

  const auto hit = [&] {
    inject_fault({r.operation, r.step, action});
    waits ? static_cast<void>(t->take()) : t->give();
  };
  std::optional<harness::child> victim;
  if (waits) {
    victim.emplace(hit);  // first in the queue of sleepers
    if (r.step == 3) REQUIRE(harness::eventually([&] { return harness::asleep(victim->pid()); }));
    if (r.step < 3 && action == fault_action::stop) REQUIRE(victim->wait_stopped());
    if (r.step < 3 && action == fault_action::kill) victim->wait();
  }
  harness::child survivor([&] { t->take(); });
  REQUIRE(harness::eventually([&] { return harness::asleep(survivor.pid()); }));
  if (waits) t->give();
  else victim.emplace(hit);
  if (action == fault_action::stop) REQUIRE(victim->wait_stopped());
  else if (victim->pid() > 0) CHECK(victim->wait() == exit_status::signaled(SIGKILL));

  if (!r.survivor_wakes_alone) {
    CHECK(harness::asleep(survivor.pid()));
    CHECK(t->there.load() == 1);
    if (action == fault_action::kill) t->available.notify_all();  // the repair
    else t->available.nudge();                                    // the look every 250 ms
  }
  CHECK(survivor.wait() == exit_status::exited(0));
  CHECK((t->there.load() == 0 && t->taken.load() == 1));
  if (action == fault_action::stop) {  // and it goes on as if nothing had been
    if (waits) t->give();
    while (victim->wait_stopped()) victim->signal(SIGCONT);
    CHECK(victim->wait() == exit_status::exited(0));
    CHECK(t->taken.load() == (waits ? 2 : 1));
  }
}

TEST_CASE("a bell whose notifier died before ringing it is rung by the repair") {
  shared<tokens> t;
  std::atomic<int> rings{0};
  const bell_ringer ringer{[](void* n) noexcept { static_cast<std::atomic<int>*>(n)->fetch_add(1); }, &rings};
  t->available.arm_bell();
  const auto end = harness::forked([&] {
    inject_fault({"notify", 4});
    t->available.notify_one(ringer);
  });
  CHECK(end == exit_status::signaled(SIGKILL));
  t->available.notify_one(ringer);
  CHECK(rings == 0);  // it is disarmed: this is what was lost
  t->available.notify_all(ringer);
  CHECK(rings == 1);
}

// Invariant: whoever sleeps while tokens lie there sleeps for ever, so the run would not end.
TEST_CASE("threads that notify and wait without pause lose no wake-up", "[deadline:120]") {
  const bool spins = GENERATE(false, true);
  spin_budget::set_spinning(spins);
  const unsigned pairs = GENERATE(2U, 3U);
  const std::uint32_t each = 60'000 / static_cast<std::uint32_t>(harness::slowdown);
  auto t = std::make_unique<tokens>();
  std::vector<std::thread> all;
  for (unsigned i = 0; i < pairs; ++i) {
    all.emplace_back([&] {
      for (std::uint32_t k = 0; k < each; ++k) t->give();
    });
    all.emplace_back([&] {
      for (std::uint32_t k = 0; k < each; ++k) t->take();
    });
  }
  for (auto& thread : all) thread.join();
  CHECK((t->there == 0 && t->taken == pairs * each));
  spin_budget::set_spinning(true);
}

TEST_CASE("processes that notify and wait without pause lose no wake-up, on one CPU too", "[deadline:120]") {
  const bool one_cpu = GENERATE(false, true);
  const bool spins = GENERATE(false, true);
  const auto end = harness::forked([&] {
    if (one_cpu) {
      cpu_set_t set;
      CPU_ZERO(&set);
      CPU_SET(static_cast<std::size_t>(::sched_getcpu()), &set);
      REQUIRE(::sched_setaffinity(0, sizeof set, &set) == 0);
    }
    spin_budget::set_spinning(spins);
    constexpr unsigned pairs = 3;
    const std::uint32_t each = 30'000 / static_cast<std::uint32_t>(harness::slowdown);
    shared<tokens> t;
    std::vector<harness::child> all;
    for (unsigned i = 0; i < pairs; ++i) {
      all.emplace_back([&] {
        for (std::uint32_t k = 0; k < each; ++k) t->give();
      });
      all.emplace_back([&] {
        for (std::uint32_t k = 0; k < each; ++k) t->take();
      });
    }
    for (auto& c : all) REQUIRE(c.wait() == exit_status::exited(0));
    REQUIRE((t->there == 0 && t->taken == pairs * each));
  });
  CHECK(end == exit_status::exited(0));
}

// Invariant: with each death followed by a notify_all, the living always drain what lies there. A victim may have taken
// one token that nobody counted.
TEST_CASE("waiters and notifiers that are killed all the time keep the others from nothing", "[deadline:120]") {
  spin_budget::set_spinning(GENERATE(false, true));
  shared<tokens> t;
  const auto waits = [&] {
    for (;;) t->take();
  };
  const auto gives = [&] {
    for (;;) {
      t->sum.fetch_add(1);
      t->give();
    }
  };
  std::deque<harness::child> waiters, notifiers;
  for (int i = 0; i < 3; ++i) {
    waiters.emplace_back(waits);
    notifiers.emplace_back(gives);
  }
  const unsigned kills = 600 / static_cast<unsigned>(harness::slowdown);
  for (unsigned i = 0; i < kills; ++i) {
    auto& group = i % 2 == 0 ? waiters : notifiers;
    group.pop_front();  // SIGKILL, and the death is proven
    t->wake_all();
    const auto before = t->taken.load();
    i % 2 == 0 ? group.emplace_back(waits) : group.emplace_back(gives);
    REQUIRE(harness::eventually([&] { return t->taken.load() != before; }));  // the others go on
  }
  notifiers.clear();
  t->wake_all();
  CHECK(harness::eventually([&] { return t->there.load() == 0; }));
  CHECK(t->taken.load() + t->there.load() <= t->sum.load());
  CHECK(t->taken.load() + 2 * kills + 6 >= t->sum.load());
  spin_budget::set_spinning(true);
}

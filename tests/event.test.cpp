// SPDX-License-Identifier: BSD-3-Clause
// Events: set, clear, and that nobody who waits is forgotten.
#include "process_support.hpp"

#include <cloister/actors/event.hpp>

#include <atomic>
#include <csignal>
#include <thread>

#include <pthread.h>
#include <unistd.h>

using namespace cloister;
using namespace support;

namespace {

void wait_and_say(event e, sink<int> up, sink<int> out) {
  up.put(1);
  e.wait();
  out.put(1);
}

const event* in_handler = nullptr;

// In a process of its own: which one failed is its exit code.
void check_event(node& mine) {
  int checked = 0;
  const auto require = [&](bool holds) {
    ++checked;
    if (!holds) ::_exit(checked);
  };
  const event e{mine, {.name = "ready"}};
  require(!e.is_set());
  require(e.wait(0s) == errc::timed_out);
  require(e.wait(20ms) == errc::timed_out);
  e.set();
  require(e.is_set());
  e.wait();
  require(e.wait(0s).has_value());
  e.clear();
  require(!e.is_set());
  require(e.wait(0s) == errc::timed_out);
}

}  // namespace

TEST_CASE("_TestEvent.test_event: not set, set, cleared; waits end at once, or after the time given") {
  EACH_METHOD(how);
  process p{here(), by(how), check_event};
  CHECK(p.join(20s).value().success());
}

TEST_CASE("an event in the first process is as any other, and its errors name it") {
  const event e{here(), {.name = "ready"}};
  CHECK_FALSE(e.is_set());
  CHECK(e.wait(0s) == errc::timed_out);
  CHECK(e.wait(20ms) == errc::timed_out);
  CHECK(e.wait(-1s) == errc::timed_out);
  e.set();
  e.set();
  CHECK(e.is_set());
  e.wait();
  CHECK(e.wait(0s));
  e.clear();
  CHECK_FALSE(e.is_set());
  CHECK(e.wait(0s).error().text() == "event 'ready' wait: timed out");
}

TEST_CASE("TestSyncManagerTypes.test_event: set here is seen there, and cleared there here, by every start method") {
  EACH_METHOD(how);
  const event e{here()}, done{here()};
  process p{here(), by(how),
            [](event a, event b) {
              a.wait();
              a.clear();
              b.set();
            },
            e, done};
  e.set();
  CHECK(done.wait(20s));
  CHECK_FALSE(e.is_set());
  CHECK(p.join(20s).value().success());
}

TEST_CASE("promise 10: who waits when it is set returns, though it is cleared at once") {
  const event e{here()};
  const queue<int> up{here()}, out{here()};
  std::vector<process> crew;
  for (int i = 0; i < 3; ++i) crew.emplace_back(here(), wait_and_say, e, up, out);
  for (int i = 0; i < 3; ++i) up.get();
  for (const auto& p : crew) REQUIRE(harness::eventually([&] { return harness::asleep(p.pid()); }, 20s));
  e.set();
  e.clear();
  for (int n = 0; n < 3; ++n) CHECK(out.get(20s));
  for (auto& p : crew) CHECK(p.join(20s).value().success());
}

TEST_CASE("promise 10: a signal handler sets an event, whatever its thread is doing with it") {
  const event e{here()};
  in_handler = &e;
  struct sigaction action {};
  action.sa_handler = [](int) { in_handler->set(); };
  ::sigaction(SIGUSR1, &action, nullptr);
  std::atomic<bool> over{false};
  std::atomic<int> came_out{0};
  std::thread sets([&] {
    while (!over) e.set(), e.clear();
  });
  std::thread waits([&] {
    while (!over) {
      static_cast<void>(e.wait(10ms));
      ++came_out;
    }
  });
  for (int i = 0; i < 20'000 / harness::slowdown; ++i) {
    ::pthread_kill(sets.native_handle(), SIGUSR1);
    ::pthread_kill(waits.native_handle(), SIGUSR1);
  }
  over = true;
  sets.join();
  waits.join();
  CHECK(came_out > 0);
  e.clear();
  std::thread other([&] { e.wait(); });
  ::raise(SIGUSR1);
  other.join();
  CHECK(e.is_set());
}

TEST_CASE("promise 09: dead waiters are no matter to set") {
  EACH_METHOD(how);
  const event e{here()};
  const queue<int> up{here()}, out{here()};
  std::vector<process> crew;
  for (int i = 0; i < 6; ++i) crew.emplace_back(here(), by(how), wait_and_say, e, up, out);
  for (int i = 0; i < 6; ++i) up.get();
  for (const std::size_t i : {0U, 3U}) crew[i].kill();
  e.set();
  for (const std::size_t i : {1U, 2U, 4U, 5U}) CHECK(crew[i].join(20s).value().success());
}

TEST_CASE("a setter that is killed or stopped between the word and the waking leaves nobody asleep") {
  const auto action = GENERATE(fault_action::kill, fault_action::stop);
  const event e{here()};
  const queue<int> up{here()}, out{here()};
  process p{here(), wait_and_say, e, up, out};
  up.get();
  CHECK(out.get(50ms) == errc::timed_out);  // asleep, most likely
  const process setter{here(),
                       [](event other, bool kill) {
                         inject_fault({"set", 2, kill ? fault_action::kill : fault_action::stop, 0});
                         other.set();
                       },
                       e, action == fault_action::kill};
  CHECK(out.get(20s));
  setter.kill();
}

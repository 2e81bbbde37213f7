// SPDX-License-Identifier: BSD-3-Clause
// The bells behind waiting: several waiters, waiters that are stopped, notifiers that fetch the bell, loops of the user's own.
#include "process_support.hpp"

#include <csignal>

#include <sys/epoll.h>
#include <unistd.h>

using namespace cloister;
using namespace support;

TEST_CASE("a stopped waiter swallows nobody's message") {
  EACH_METHOD(how);
  queue<int> q{here()}, said{here()};
  const auto waits = [](queue<int> in, queue<int> out) {
    out.put(0);
    for (;;) {
      wait_any({in});
      if (const auto n = in.try_get()) out.put(*n);
    }
  };
  process stopped{here(), by(how), waits, q, said}, awake{here(), by(how), waits, q, said};
  said.get();
  said.get();
  REQUIRE(harness::eventually([&] { return harness::asleep(stopped.pid()) && harness::asleep(awake.pid()); }));
  ::kill(stopped.pid(), SIGSTOP);
  REQUIRE(harness::eventually([&] { return harness::process_state(stopped.pid()) == 'T'; }));
  for (int i = 1; i <= 20; ++i) {
    q.put(i);
    CHECK(said.get(10s).value_or(-1) == i);
  }
  stopped.kill();
  awake.kill();
}

TEST_CASE("a notifier that never waited fetches the bell and rings it") {
  EACH_METHOD(how);
  queue<int> q{here()}, go{here()};
  process p{here(), by(how),
            [](queue<int> out, queue<int> in) {
              for (int i = 0; i < 50; ++i) {
                in.get();
                out.put(i);
              }
            },
            q, go};
  for (int i = 0; i < 50; ++i) {
    go.put(1);
    REQUIRE(wait_any({q}, 10s));
    CHECK(q.get() == i);
  }
  CHECK(p.join().success());
}

TEST_CASE("one ring wakes all who wait, and each message is taken once") {
  queue<int> q{here()}, said{here()};
  std::vector<process> waiters;
  for (int i = 0; i < 4; ++i) {
    waiters.emplace_back(
        here(),
        [](queue<int> in, queue<int> out) {
          for (;;) {
            wait_any({in});
            const auto n = in.try_get();
            if (n) out.put(*n);
            if (n == errc::closed) return;
          }
        },
        q, said);
  }
  std::vector<bool> seen(200);
  for (int i = 0; i < 200; ++i) q.put(i);
  for (int i = 0; i < 200; ++i) {
    const int n = said.get();
    CHECK_FALSE(seen[static_cast<std::size_t>(n)]);
    seen[static_cast<std::size_t>(n)] = true;
  }
  q.close();
  for (auto& p : waiters) CHECK(p.join().success());
}

TEST_CASE("a ready_fd works in an epoll of the user's own, nested or not") {
  EACH_METHOD(how);
  queue<int> q{here()};
  ready_fd mailbox(q);
  process p{here(), by(how),
            [](queue<int> out) {
              for (int i = 0; i < 20; ++i) {
                out.put(i);
                ::usleep(500);
              }
            },
            q};
  ready_fd ended(p);
  const owned_fd inner(::epoll_create1(EPOLL_CLOEXEC)), outer(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = 1;
  REQUIRE(::epoll_ctl(inner.get(), EPOLL_CTL_ADD, mailbox.fd(), &event) == 0);
  event.data.u32 = 2;
  REQUIRE(::epoll_ctl(outer.get(), EPOLL_CTL_ADD, inner.get(), &event) == 0);
  event.data.u32 = 3;
  REQUIRE(::epoll_ctl(outer.get(), EPOLL_CTL_ADD, ended.fd(), &event) == 0);
  int next = 0;
  bool end = false;
  static_cast<void>(mailbox.ready());
  while (next < 20 || !end) {
    while (mailbox.ready())
      if (const auto n = q.try_get()) CHECK(*n == next++);
    end = end || ended.ready();
    if (next == 20 && end) break;
    REQUIRE(::epoll_wait(outer.get(), &event, 1, 10000) > 0);
  }
  CHECK(next == 20);
  CHECK(p.join().success());
}

TEST_CASE("promise 37: the end of a peer is told whatever descriptors others hold") {
  EACH_METHOD(how);
  auto [mine, theirs] = pipe<int>(here());
  process p{here(), by(how),
            [](pipe_end<int> end) {
              end.send(1);
              sleep_long();
            },
            std::move(theirs)};
  CHECK(mine.recv() == 1);
  // Forked now, it has copies of all that is open here and goes on after the peer's death.
  process holds = process::fork(here(), sleep_long);
  p.kill();
  const auto begin = deadline::now();
  const auto got = mine.recv(10s);
  CHECK(got == errc::peer_down);
  REQUIRE(got.error().exit() != nullptr);
  CHECK(got.error().exit()->signal() == SIGKILL);
  CHECK(deadline::now() - begin < 5'000'000'000);
  CHECK(p.join().signal() == SIGKILL);
  holds.kill();
}

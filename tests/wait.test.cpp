// SPDX-License-Identifier: BSD-3-Clause
// Waiting for whichever comes first: mailboxes, processes, descriptors, mixed.
#include "process_support.hpp"

#include <algorithm>
#include <csignal>
#include <map>

#include <sys/socket.h>
#include <unistd.h>

using namespace cloister;
using namespace support;

namespace {

std::pair<owned_fd, owned_fd> sockets() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw std::runtime_error("socketpair");
  return {owned_fd(ends[0]), owned_fd(ends[1])};
}

}  // namespace

TEST_CASE("four writers, one waiter: every message once, and the end of each") {
  EACH_METHOD(how);
  const bool slow = GENERATE(false, true);
  std::vector<pipe_end<void, int>> ends;
  std::vector<process> writers;
  for (int i = 0; i < 4; ++i) {
    auto [mine, theirs] = one_way<int>(here());
    ends.push_back(std::move(mine));
    writers.emplace_back(
        here(), by(how),
        [](pipe_end<int, void> out, int from, bool pause) {
          for (int n = 0; n < 10; ++n) {
            if (pause) ::usleep(static_cast<unsigned>((from * 7 + n * 13) % 5) * 1000);
            out.send(from * 100 + n);
          }
        },
        std::move(theirs), i, slow);
  }
  std::vector<int> got;
  while (!ends.empty()) {
    const auto ready = wait_any(ends);
    auto message = ends[ready].try_recv();
    if (message) got.push_back(*message);
    else if (message == errc::closed) ends.erase(ends.begin() + static_cast<long>(ready));
    else CHECK(message == errc::would_block);
  }
  std::sort(got.begin(), got.end());
  std::vector<int> all;
  for (int i = 0; i < 4; ++i)
    for (int n = 0; n < 10; ++n) all.push_back(i * 100 + n);
  CHECK(got == all);
}

TEST_CASE("the same for plain sockets") {
  EACH_METHOD(how);
  const bool slow = GENERATE(false, true);
  std::vector<owned_fd> ends;
  std::vector<process> writers;
  for (int i = 0; i < 4; ++i) {
    auto [mine, theirs] = sockets();
    ends.push_back(std::move(mine));
    writers.emplace_back(
        here(), by(how),
        [](owned_fd out, int from, bool pause) {
          for (int n = 0; n < 10; ++n) {
            if (pause) ::usleep(static_cast<unsigned>((from * 7 + n * 13) % 5) * 1000);
            static_cast<void>(!::write(out.get(), "x", 1));
          }
        },
        std::move(theirs), i, slow);
  }
  std::size_t got = 0;
  while (!ends.empty()) {
    const auto ready = wait_any(ends, 30s);
    REQUIRE(ready);
    char bytes[16];
    const auto n = ::read(ends[*ready].get(), bytes, sizeof bytes);
    if (n > 0) got += static_cast<std::size_t>(n);
    else ends.erase(ends.begin() + static_cast<long>(*ready));
  }
  CHECK(got == 40);
}

TEST_CASE("nothing ready is timed_out, not before the time, or would_block at once") {
  queue<int> q{here()};
  auto [mine, theirs] = pipe<int>(here());
  const auto begin = deadline::now();
  CHECK(wait_any({q, mine}, 30ms) == errc::timed_out);
  CHECK(deadline::now() - begin >= 30'000'000);
  CHECK(wait_any({q, mine}, deadline::passed()) == errc::would_block);
  CHECK(wait_any({q, mine}, -1s) == errc::would_block);
  theirs.send(1);
  CHECK(wait_any({q, mine}) == 1);
  CHECK(wait_any(std::vector<waitable>{}, 1s) == errc::invalid);
  CHECK(wait_any({q, 999}, 1s) == errc::invalid);
  CHECK(wait_any({q, -7}, 1s) == errc::invalid);
}

TEST_CASE("processes, mailboxes and descriptors mixed: all that are ready are told at once") {
  EACH_METHOD(how);
  queue<int> q{here()}, quiet{here()};
  auto [mine, theirs] = pipe<int>(here());
  auto [a, b] = sockets();
  process p{here(), by(how), [](queue<int> out) { out.get(); }, quiet};
  CHECK(wait_ready({p, q, mine, a}, deadline::passed()) == errc::would_block);
  quiet.put(1);
  CHECK(wait_any({q, mine, a, p}) == 3);
  q.put(1);
  theirs.send(1);
  static_cast<void>(!::write(b.get(), "x", 1));
  CHECK(*wait_ready({p, q, quiet, mine, a, p.sentinel()}, 1s) == std::vector<std::size_t>{0, 1, 3, 4, 5});
}

TEST_CASE("a closed queue and a pipe whose other end is gone are ready") {
  EACH_METHOD(how);
  queue<int> q{here()};
  auto [mine, theirs] = pipe<int>(here());
  process p{here(), by(how),
            [](pipe_end<int> end, queue<int> in) {
              in.get();
              static_cast<void>(end);
            },
            std::move(theirs), q};
  CHECK(wait_any({mine}, 20ms) == errc::timed_out);
  p.kill();
  CHECK(wait_any({mine}) == 0);
  CHECK(mine.try_recv() == errc::peer_down);
  queue<int> other{here()};
  other.close();
  CHECK(wait_any({q, other}) == 1);
}

TEST_CASE("a queue at its end is ready, also while this process still holds a message of it") {
  const auto how = GENERATE(close_how::drain, close_how::now);
  queue<int> q{here()};
  q.put(1);
  auto held = q.take();
  CHECK(wait_any({q}, deadline::passed()) == errc::would_block);
  q.close(how);
  CHECK(wait_any({q}, 20s).value() == 0);
  CHECK(q.try_get() == errc::closed);
}

TEST_CASE("the choice among several that are ready rotates, and naming one twice is no error") {
  queue<int> a{here()}, b{here()}, c{here()};
  for (auto& q : {a, b, c}) q.put(1);
  std::map<std::size_t, int> chosen;
  for (int i = 0; i < 30; ++i) ++chosen[wait_any({a, b, c})];
  CHECK(chosen.size() == 3);
  for (const auto& [index, times] : chosen) CHECK(times == 10);
  queue<int> d{here()};
  process p{here(),
            [](queue<int> out) {
              ::usleep(20000);
              out.put(1);
            },
            d};
  CHECK(wait_any({d, d, 0 + p.sentinel(), p}) < 4);
}

TEST_CASE("take_any takes from each of several queues, and is closed when all of them are") {
  queue<int> a{here()}, b{here()};
  a.put(1);
  b.put(2);
  auto first = take_any(a, b), second = take_any(a, b);
  CHECK(first.second + second.second == 3);
  CHECK(first.first != second.first);
  CHECK(take_any(a, b, 20ms) == errc::timed_out);
  process p{here(),
            [](queue<int> out) {
              ::usleep(10000);
              out.put(3);
            },
            b};
  const auto third = take_any(a, b);
  CHECK(third == std::pair<std::size_t, int>(1, 3));
  a.close();
  CHECK(take_any(a, b, 20ms) == errc::timed_out);
  b.close();
  CHECK(take_any(a, b, 1s) == errc::closed);
}

TEST_CASE("a wait survives handled signals") {
  struct sigaction action {
  }, before{};
  action.sa_handler = [](int) {};
  ::sigaction(SIGUSR1, &action, &before);
  queue<int> q{here()};
  process p{here(),
            [](queue<int> out, pid_t who) {
              for (int i = 0; i < 20; ++i) {
                ::kill(who, SIGUSR1);
                ::usleep(1000);
              }
              out.put(1);
            },
            q, ::getpid()};
  CHECK(wait_any({q}) == 0);
  p.join();
  ::sigaction(SIGUSR1, &before, nullptr);
}

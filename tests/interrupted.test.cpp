// SPDX-License-Identifier: BSD-3-Clause
// Signals that a program handles (without SA_RESTART) while its calls copy or wait: each call ends as if there had been none.
#include "process_support.hpp"

#include <csignal>
#include <ctime>
#include <stdexcept>

using namespace cloister;
using namespace support;

namespace {

using bytes = std::vector<std::byte>;

volatile std::sig_atomic_t handled = 0;

void handle_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { handled = handled + 1; };
  ::sigaction(SIGUSR1, &action, nullptr);
}

// While it lives, this process handles a signal every 100 us.
class flood {
 public:
  flood() {
    handle_signals();
    sigevent event{};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGUSR1;
    const itimerspec often{{0, 100'000}, {0, 100'000}};
    if (::timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0 || ::timer_settime(timer_, 0, &often, nullptr) != 0 ||
        !harness::eventually([] { return handled > 0; }))
      throw std::runtime_error("no flood of signals");
  }
  ~flood() { ::timer_delete(timer_); }
  flood(const flood&) = delete;
  flood& operator=(const flood&) = delete;

 private:
  timer_t timer_{};
};

bytes pattern(std::size_t size, std::size_t seed) {
  bytes all(size);
  for (std::size_t i = 0; i < size; i += 61) all[i] = static_cast<std::byte>(i / 61 + seed);
  return all;
}

constexpr int last_of_all = 1;

// Once told to: signals for `whom` again and again while it sleeps; then what it waits for, be it a message, room, or the end.
void disturb(pid_t whom, std::string waits_for, pipe_end<bytes, int> end, queue<int> q, queue<int> go) {
  go.get();
  for (int i = 0; i < 50; ++i) {
    if (!harness::eventually([&] { return harness::asleep(whom); }, 30s)) ::_exit(2);
    ::kill(whom, SIGUSR1);
  }
  if (waits_for == "recv" || waits_for == "poll") end.send(bytes(1));
  else if (waits_for == "send")
    while (end.recv(60s).value() != last_of_all) {}
  else if (waits_for == "get") q.put(7);
  else if (waits_for == "put") q.get();
  else if (waits_for == "queue join") q.take().ack();
}

}  // namespace

TEST_CASE("messages far larger than a pipe's rings arrive whole while both sides handle signals all the time") {
  EACH_METHOD(how);
  auto [mine, theirs] = pipe<bytes>(here());
  process p{here(), by(how),
            [](pipe_end<bytes> peer) {
              const flood signals;
              for (;;) {
                auto message = peer.recv(60s);
                if (message == errc::closed) return;
                peer.send(message.value());
              }
            },
            std::move(theirs)};
  const flood signals;
  for (const std::size_t size : {100U, 300'000U, 5'000'000U, 40'000'000U}) {
    const auto message = pattern(size, size);
    mine.send(message);
    REQUIRE(mine.recv(60s).value() == message);
  }
  mine.close();
  CHECK(p.join().success());
}

TEST_CASE("a stream through a full pipe and a full queue arrives whole while both sides handle signals all the time") {
  EACH_METHOD(how);
  constexpr std::size_t count = 60, size = 700'000;  // every second message has to wait for room
  auto [mine, theirs] = one_way<bytes>(here(), {.max_bytes = std::size_t{1} << 20});
  queue<bytes> q{here(), {.max_items = 1}};
  process p{here(), by(how),
            [](pipe_end<bytes, void> out, sink<bytes> items) {
              const flood signals;
              for (std::size_t i = 0; i < count; ++i) out.send(pattern(size, i));
              for (std::size_t i = 0; i < count; ++i) items.put(pattern(size, i));
            },
            std::move(theirs), q};
  const flood signals;
  for (std::size_t i = 0; i < count; ++i) REQUIRE(mine.recv(60s).value() == pattern(size, i));
  for (std::size_t i = 0; i < count; ++i) REQUIRE(q.get(60s).value() == pattern(size, i));
  CHECK(p.join().success());
}

TEST_CASE("a call that sleeps goes on sleeping through handled signals, and ends as if there had been none") {
  EACH_METHOD(how);
  const std::string what = GENERATE("recv", "poll", "send", "get", "put", "queue join", "process join", "wait_any");
  INFO(what);
  handle_signals();
  queue<int> q{here(), {.max_items = 1}}, go{here()}, never{here()};
  auto [mine, theirs] = pipe<int, bytes>(here(), {.max_bytes = 64 << 10});
  if (what == "put" || what == "queue join") q.put(1);
  if (what == "send")
    while (mine.try_send(0)) {}
  process p{here(), by(how), disturb, ::getpid(), what == "wait_any" ? "get" : what, std::move(theirs), q, go};
  const auto before = handled;
  go.put(1);
  if (what == "recv") CHECK(mine.recv().size() == 1);
  if (what == "poll") CHECK(mine.poll(60s));
  if (what == "send") CHECK_NOTHROW(mine.send(last_of_all));
  if (what == "get") CHECK(q.get() == 7);
  if (what == "put") CHECK_NOTHROW(q.put(2));
  if (what == "queue join") CHECK(q.join(60s));
  if (what == "wait_any") CHECK(wait_any({never, q}, 60s).value() == 1);
  CHECK(p.join().success());
  CHECK(handled > before);
}

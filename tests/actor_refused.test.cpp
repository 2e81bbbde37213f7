// SPDX-License-Identifier: BSD-3-Clause
// What an actor cannot do anything with, and what goes wrong around one: each is an error, and disturbs nobody else.
#include "process_support.hpp"

#include <cloister/actor.hpp>
#include <cloister/detail/actor_core.hpp>
#include <cloister/internal/control.hpp>

#include <csignal>
#include <future>
#include <thread>

using namespace cloister;
using namespace support;

namespace {

struct add {
  long n;
};
struct total {};
struct text {
  std::string what;
};
struct ask_in_handler {
  actor<struct summer> whom;
};
struct die {};
struct summer {
  long sum = 0;
  long on(add a) { return sum += a.n; }
  long on(total) const { return sum; }
  std::size_t on(const text& t) const { return t.what.size(); }
  std::string on(const ask_in_handler& a) {
    const auto r = a.whom.ask(total{}, 1s);
    return r ? "answered" : r.error().text();
  }
  void on(die) { ::raise(SIGKILL); }
};

struct unwilling {
  explicit unwilling(int n) {
    if (n > 0) throw std::invalid_argument("more than 0");
  }
  int on(total) const { return 0; }
};

/// Asks with a letter that says what the test wants.
template <class M>
result<void> ask_raw(const actor<summer>& a, std::uint64_t key, const M& message) {
  auto& mailbox = detail::object_of(a.handle());
  return detail::ask_and_wait(
      mailbox, 20s, [&](const detail::letter_head& head) { return detail::put_letter(mailbox, head, message, 100, 20s); }, key,
      [](decoder&) {});
}

pid_t pid_of(const actor<summer>& a) { return a.process().value().pid; }

}  // namespace

TEST_CASE("an actor whose constructor throws has not started") {
  try {
    const actor<unwilling> a{here(), 1};
    FAIL("started");
  } catch (const failure& f) {
    CHECK(f.code() == errc::not_started);
    CHECK(std::string(f.what()).find("std::invalid_argument: more than 0") != std::string::npos);
  }
  const supervisor s{here()};
  CHECK_THROWS_AS((actor<unwilling>{s, {.id = "a"}, 1}), failure);
  CHECK(s.which_children().empty());
}

TEST_CASE("an unknown message, and one that cannot be decoded, is refused or a dead letter; the actor goes on") {
  queue<dead_letter> dead{here()};
  watch_dead_letters(dead);
  const actor<summer> a{here(), actor_options{.process = {.name = "sum"}}};
  CHECK(ask_raw(a, 12345, add{1}) == errc::unsupported);
  CHECK(ask_raw(a, detail::key_of<text>(), std::uint32_t{1'000'000}) == errc::undecodable);
  auto& mailbox = detail::object_of(a.handle());
  REQUIRE(detail::put_letter(mailbox, {detail::letter_kind::tell, 12345}, 1, 100, 20s));
  const auto unknown = dead.get(20s).value();
  CHECK(unknown.actor == "sum");
  CHECK(unknown.why == "actor 'sum': it has no handler for such a message");
  REQUIRE(detail::put_letter(mailbox, {static_cast<detail::letter_kind>(99), 0}, 1, 100, 20s));
  CHECK(dead.get(20s).value().why == "actor 'sum': a letter of no known kind");
  CHECK(a.ask(add{1}) == 1);
}

TEST_CASE("messages that went down with an actor are dead letters") {
  queue<dead_letter> dead{here()};
  watch_dead_letters(dead);
  const actor<summer> a{here()};
  const auto pid = pid_of(a);
  ::kill(pid, SIGSTOP);
  for (int i = 0; i < 3; ++i) a.tell(add{1});
  ::kill(pid, SIGKILL);
  const auto letter = dead.get(20s).value();
  CHECK(letter.count == 3);
  CHECK(letter.why == "the actor has ended: killed by SIGKILL");
}

TEST_CASE("a full mailbox makes its senders wait, or says so, and never keeps a stop out") {
  const actor<summer> a{here(), actor_options{.max_messages = 10}};
  const auto pid = pid_of(a);
  ::kill(pid, SIGSTOP);
  int put = 0;
  while (a.try_tell(add{1})) ++put;
  CHECK(put == 10);
  CHECK(a.try_tell(add{1}) == errc::would_block);
  CHECK(a.tell(add{1}, 10ms) == errc::timed_out);
  CHECK(a.ask(add{1}, 10ms) == errc::timed_out);
  ::kill(pid, SIGCONT);
  CHECK(a.ask(total{}) == 10);
  ::kill(pid, SIGSTOP);
  while (a.try_tell(add{1})) {}
  a.stop();
  ::kill(pid, SIGCONT);
  CHECK(all_gone({pid}));
}

TEST_CASE("what nobody waits for any more is not handled") {
  const actor<summer> a{here()};
  ::kill(pid_of(a), SIGSTOP);
  CHECK(a.ask(add{5}, 10ms) == errc::timed_out);
  a.tell(add{1});
  ::kill(pid_of(a), SIGCONT);
  CHECK(a.ask(total{}) == 1);
}

TEST_CASE("large messages, and an ask from within a handler, which is refused") {
  const actor<summer> a{here()};
  CHECK(a.ask(text{std::string(10 << 20, 'x')}) == 10 << 20);
  const actor<summer> b{here()};
  CHECK(a.ask(ask_in_handler{b}).find("must not wait for another one") != std::string::npos);
}

TEST_CASE("an asker that is killed while it waits leaves nothing behind") {
  const actor<summer> a{here()};
  ::kill(pid_of(a), SIGSTOP);
  process asker{here(), [](actor<summer> to) { to.ask(add{1}); }, a};
  CHECK(harness::eventually([&] { return a.waiting() == 1; }));
  asker.kill();
  asker.join();
  ::kill(pid_of(a), SIGCONT);
  CHECK(a.ask(add{1}) == 2);
}

TEST_CASE("no handle, no actor") {
  const actor<summer> none;
  CHECK_THROWS_AS(none.ask(total{}), failure);
  CHECK_THROWS_AS(none.tell(add{1}), failure);
}

namespace {

struct partner {
  actor<struct talker> other;
};
struct word {
  int left;
};
struct heard {};
/// Answers each word with two.
struct talker {
  actor<talker> other;
  long heard_words = 0, refused = 0;
  void on(const partner& p) { other = p.other; }
  void on(self& me, word w) {
    ++heard_words;
    for (int i = 0; i < 2 && w.left > 0; ++i)
      if (!me.tell(other, word{w.left - 1})) ++refused;
  }
  std::pair<long, long> on(heard) const { return {heard_words, refused}; }
};

}  // namespace

TEST_CASE("two actors with full mailboxes that tell each other do not hang") {
  const actor<talker> a{here(), actor_options{.max_messages = 8}};
  const actor<talker> b{here(), actor_options{.max_messages = 8}};
  a.ask(partner{b});
  b.ask(partner{a});
  for (int i = 0; i < 8; ++i) a.tell(word{12});
  const auto quiet = [&] { return a.waiting() == 0 && b.waiting() == 0; };
  CHECK(harness::eventually([&] {
    const auto before = a.ask(heard{});
    return quiet() && b.ask(heard{}).first > 0 && a.ask(heard{}) == before;
  }));
  CHECK(a.ask(heard{}).second + b.ask(heard{}).second > 0);
  a.stop();  // each has a handle to the other
  b.stop();
}

TEST_CASE("every ask is answered or says why not, while the actor is killed again and again") {
  const supervisor s{here(), {.intensity = 1'000'000}};
  const actor<summer> a{s, {.id = "sum"}};
  std::atomic<int> answered{0}, lost{0}, other{0};
  std::vector<std::thread> askers;
  for (int t = 0; t < 3; ++t)
    askers.emplace_back([&] {
      for (int i = 0; i < 300 / harness::slowdown; ++i) {
        const auto r = a.ask(add{1}, 50s);
        if (r) ++answered;
        else if (r == errc::peer_down) ++lost;
        else ++other;
      }
    });
  for (int i = 0; i < 50 / harness::slowdown; ++i) {
    a.tell(die{});
    static_cast<void>(a.ask(total{}, 50s));
  }
  for (auto& t : askers) t.join();
  CHECK(other == 0);
  CHECK(answered > 0);
  INFO(lost << " lost");
  CHECK(answered + lost == 3 * (300 / harness::slowdown));
}

namespace {

struct keeper {
  source<int> numbers;
  pipe_end<int> end;
  int asked = 0;
  keeper(source<int> q, pipe_end<int> p) : numbers(std::move(q)), end(std::move(p)) {}
  int on(total) { return ++asked; }
};

/// Owes everybody a reply.
struct silent {
  queue<int> asked;
  reply<int> on(total) {
    asked.put(1);
    kept.emplace_back();
    return kept.back();
  }
  std::vector<reply<int>> kept = {};
};
struct ask_silent {
  actor<silent> whom;
};
struct waiting {
  reply<bool> on(self& me, ask_silent a) {
    const auto got = co_await me.ask(a.whom, total{});
    co_return got == errc::undecodable;
  }
};

}  // namespace

TEST_CASE("an ask whose reply would go into something that is no lane gets none, and harms nothing") {
  queue<int> numbers{here()};
  auto [mine, theirs] = pipe<int>(here());
  const auto pipe_id = detail::object_of(theirs.handle()).id();
  const actor<keeper> a{here(), numbers, std::move(theirs)};
  auto& mailbox = detail::object_of(a.handle());
  for (const auto id : {detail::object_of(numbers.handle()).id(), pipe_id, std::uint64_t{12345}})
    REQUIRE(detail::put_letter(mailbox, {detail::letter_kind::ask, detail::key_of<total>(), 1, id, deadline::never().at_ns()},
                               total{}, 100, 20s));
  CHECK(a.ask(total{}, 20s).value() == 4);
  CHECK(numbers.try_get() == errc::would_block);
  CHECK(mine.try_recv() == errc::would_block);
}

TEST_CASE("a reply that cannot be decoded is an error of the ask; the actor goes on") {
  queue<int> asked{here()};
  const actor<silent> s{here(), asked};
  const actor<waiting> w{here()};
  auto& mailbox = detail::object_of(w.handle());
  auto said = std::async(std::launch::async, [&] { return w.ask(ask_silent{s}, 20s); });
  REQUIRE(asked.get(20s));
  // Whoever has a handle can forge letters; the first ask of an actor has ticket 1.
  for (const auto kind :
       {detail::letter_kind::refusal, detail::letter_kind::down, detail::letter_kind::ended, detail::letter_kind::reply})
    REQUIRE(detail::put_letter(mailbox, {kind, 0, 1, 0, 0}, std::uint8_t{7}, 100, 20s));
  CHECK(said.get().value());
  CHECK(w.is_alive());
}

TEST_CASE("a letter that cannot be read, in the lane of a thread that asks, fails one ask and not the next") {
  const actor<summer> a{here()};
  auto& mailbox = detail::object_of(a.handle());
  const auto put = [&](const detail::letter_head& head) {
    const auto lane = detail::membership::require().find(head.reply_to);
    REQUIRE(lane->queue().put(detail::self_actor(), std::vector<std::byte>(3), 20s));
    return detail::put_letter(mailbox, head, add{1}, 100, 20s);
  };
  CHECK(detail::ask_and_wait(mailbox, 20s, put, detail::key_of<add>(), [](decoder&) {}) == errc::undecodable);
  CHECK(a.ask(add{1}, 20s).value() == 2);
}

namespace {

struct forks {
  int on(self& me, const ask_in_handler& a) {
    queue<int> answer{me.here()};
    process p = process::fork(me.here(), [&] { answer.put(static_cast<int>(a.whom.ask(add{1}, 20s).value())); });
    p.join();
    return answer.try_get().value();
  }
};
struct fills {
  bool on(const ask_in_handler& a) {
    while (a.whom.tell(add{1}, deadline::never())) {}
    return true;
  }
};

}  // namespace

#ifndef CLOISTER_TSAN
TEST_CASE("a process that a handler forked is no actor: it may wait for one") {
  const actor<summer> a{here()};
  const actor<forks> b{here()};
  CHECK(b.ask(ask_in_handler{a}, 20s).value() == 1);
}
#endif

TEST_CASE("an actor never waits for room, whatever deadline it says") {
  const actor<summer> a{here(), actor_options{.max_messages = 4}};
  const actor<fills> b{here()};
  ::kill(pid_of(a), SIGSTOP);
  CHECK(b.ask(ask_in_handler{a}, 20s).value());
  ::kill(pid_of(a), SIGCONT);
}

TEST_CASE("an ask for which the actor has no memory is an error, and the actor goes on") {
  if (harness::sanitized) return;  // whose own memory does not fit into a limit
  const actor<summer> a{here(), actor_options{.process = {.limits = {.memory = 128 << 20}}}};
  CHECK(a.ask(text{std::string(200 << 20, 'x')}, 50s) == errc::no_memory);
  CHECK(a.ask(add{1}, 20s).value() == 1);
}

namespace {

struct ask_soon {
  actor<silent> whom;
};
struct impatient {
  reply<bool> on(self& me, ask_soon a) { co_return (co_await me.ask(a.whom, total{}, 20ms)) == errc::timed_out; }
};
struct thief {
  std::uint64_t mailbox = 0;
  explicit thief(self& me) { mailbox = detail::object_of(me.handle(*this).handle()).id(); }
  errc on(add object) {
    internal::datagram reply;
    return refused_code([&] {
      internal::ask(detail::membership::require().control(), internal::get_lane{mailbox, static_cast<std::uint64_t>(object.n)}, {},
                    reply);
    });
  }
  template <class Call>
  static errc refused_code(Call call) {
    try {
      call();
    } catch (const failure& f) { return f.code(); }
    return errc::timed_out;
  }
};

}  // namespace

TEST_CASE("an actor's ask ends by its deadline") {
  const actor<silent> s{here(), queue<int>{here()}};
  const actor<impatient> a{here()};
  CHECK(a.ask(ask_soon{s}, 20s).value());
}

TEST_CASE("an actor gets no queue from the hub that was not introduced to it") {
  const queue<int> secret{here()};
  const actor<thief> a{here()};
  CHECK(a.ask(add{static_cast<long>(detail::object_of(secret.handle()).id())}, 20s).value() == errc::gone);
}

TEST_CASE("the end of an actor's process is heard by whoever monitors it, also late") {
  const actor<summer> a{here()};
  queue<exit_notice> ends{here()};
  monitor(a, ends);
  const auto process = a.process().value();
  CHECK(ends.get(20ms) == errc::timed_out);
  ::kill(process.pid, SIGKILL);
  CHECK(ends.get(20s).value().process == process);
  monitor(a, ends);
  CHECK(ends.get(20s).value().exit.signal() == SIGKILL);
}

TEST_CASE("a later node of the same program has actors that answer") {
  program run({"later-node"});
  for (const int n : {1, 2, 3}) CHECK(run.number("answer") == n);
  CHECK(run.wait().success());
}

// SPDX-License-Identifier: BSD-3-Clause
// What an actor does from within its handlers: asks others without waiting, replies later, hears of ends, keeps time.
#include "process_support.hpp"

#include <cloister/actor.hpp>

#include <csignal>
#include <deque>

using namespace cloister;
using namespace support;

namespace {

struct withdraw {
  long cents;
};
struct balance {};
struct account {
  long cents = 0;
  long on(withdraw w) {
    if (w.cents > cents) throw std::runtime_error("not that much");
    return cents -= w.cents;
  }
  long on(balance) const { return cents; }
};

struct transfer {
  actor<account> from;
  long cents = 0;
};
struct transfer_by_callback {
  actor<account> from;
  long cents = 0;
};
struct ping {};
struct bank {
  long taken = 0;
  reply<long> on(self& me, transfer t) {
    const auto left = (co_await me.ask(t.from, withdraw{t.cents}, 20s)).value();
    taken += t.cents;
    co_return left;
  }
  reply<long> on(self& me, transfer_by_callback t) {
    reply<long> later;
    me.ask(t.from, withdraw{t.cents}).then([later](const result<long>& r) {
      if (r) later.send(*r);
      else later.fail(r.error());
    });
    return later;
  }
  int on(ping) const { return 1; }
};

}  // namespace

TEST_CASE("a handler that is a coroutine asks another actor, and others are handled meanwhile") {
  const actor<account> a{here(), 100};
  const actor<bank> b{here(), actor_options{.on_error = error_policy::keep_state}};
  CHECK(b.ask(transfer{a, 30}) == 70);
  const auto no = b.ask(transfer{a, 300}, 20s);
  REQUIRE(no == errc::threw);
  CHECK(no.error().text().find("not that much") != std::string::npos);
  // While the account hangs, the bank waits for it and answers others.
  const actor<account> slow{here(), 100};
  ::kill(slow.process().value().pid, SIGSTOP);
  process asker{here(), [](actor<bank> to, actor<account> from) { to.ask(transfer{from, 1}); }, b, slow};
  CHECK(harness::eventually([&] { return slow.waiting() == 1; }));
  CHECK(b.ask(ping{}) == 1);
  ::kill(slow.process().value().pid, SIGCONT);
  CHECK(asker.join().success());
  CHECK(slow.ask(balance{}) == 99);
}

TEST_CASE("a continuation replies later; what it waits for may die") {
  const actor<account> a{here(), 100};
  const actor<bank> b{here()};
  CHECK(b.ask(transfer_by_callback{a, 30}) == 70);
  a.stop();
  CHECK(harness::eventually([&] { return !a.is_alive(); }));
  CHECK(b.ask(transfer_by_callback{a, 1}, 20s) == errc::closed);
  const actor<account> stopped{here(), 100};
  const auto pid = stopped.process().value().pid;
  ::kill(pid, SIGSTOP);
  process asker{here(),
                [](actor<bank> to, actor<account> from) {
                  const auto r = to.ask(transfer_by_callback{from, 1}, 20s);
                  if (!(r == errc::peer_down)) throw std::runtime_error("not peer_down");
                },
                b, stopped};
  CHECK(harness::eventually([&] { return stopped.waiting() == 1; }));
  ::kill(pid, SIGKILL);
  CHECK(asker.join().text() == "exit 0");
}

namespace {

struct next {};
struct give {
  int n;
};
struct forget {};
struct how_many {};
/// Hands what it is given to those who wait for it, in order.
struct exchange_desk {
  std::deque<reply<int>> waiting;
  reply<int> on(next) {
    waiting.emplace_back();
    return waiting.back();
  }
  void on(give g) {
    waiting.front().send(g.n);
    waiting.pop_front();
  }
  void on(forget) { waiting.clear(); }
  std::size_t on(how_many) const { return waiting.size(); }
};

}  // namespace

TEST_CASE("a reply is sent when the actor says so, and an error if it never is") {
  const actor<exchange_desk> desk{here()};
  queue<int> got{here()};
  process p{here(),
            [](actor<exchange_desk> d, sink<int> to) {
              to.put(d.ask(next{}));
              to.put(d.ask(next{}, 20s) == errc::gone ? 1 : 0);
            },
            desk, got};
  CHECK(harness::eventually([&] { return desk.ask(how_many{}) == 1; }));
  desk.tell(give{42});
  CHECK(got.get(20s).value() == 42);
  CHECK(harness::eventually([&] { return desk.ask(how_many{}) == 1; }));
  desk.tell(forget{});
  CHECK(got.get(20s).value() == 1);
  p.join();
}

namespace {

struct start_timers {};
struct clockwork {
  queue<int> told;
  void on(self& me, start_timers) {
    me.after(30ms, [this] { told.put(3); });
    const auto never = me.after(10ms, [this] { told.put(99); });
    me.after(1ms, [this, &me, never] {
      told.put(1);
      me.cancel(never);
      me.tell(me.handle(*this), give{2}).value();
    });
  }
  void on(give g) { told.put(g.n); }
};

}  // namespace

TEST_CASE("an actor keeps time, and sends itself messages") {
  queue<int> told{here()};
  const actor<clockwork> c{here(), told};
  c.tell(start_timers{});
  for (const int n : {1, 2, 3}) CHECK(told.get(20s).value() == n);
}

namespace {

struct pair_of_actors {
  actor<struct sleeper> first, second;
};
struct heard_of {};
struct sleeper {
  int on(int n) const { return n; }
};
struct watcher {
  std::vector<std::string> ends;
  std::vector<cloister::reply<std::vector<std::string>>> waiting;
  void on(self& me, const pair_of_actors& both) {
    const auto none = me.monitor(both.first, [this](const exit_notice&) { ends.push_back("taken back"); });
    me.demonitor(none);
    me.demonitor(none);
    me.monitor(both.first.process().value(), [this](const exit_notice& n) { heard("first", n); });
    me.monitor(both.second, [this](const exit_notice& n) { heard("second", n); });
  }
  cloister::reply<std::vector<std::string>> on(heard_of) {
    waiting.emplace_back();
    if (ends.size() == 2) waiting.back().send(ends);
    return waiting.back();
  }
  void heard(const std::string& who, const exit_notice& n) {
    ends.push_back(who + ": " + n.exit.text());
    if (ends.size() < 2) return;
    for (const auto& w : waiting) w.send(ends);
  }
};

}  // namespace

TEST_CASE("an actor hears of the ends that it monitors, unless it has taken that back") {
  const actor<sleeper> a{here()}, b{here()};
  const actor<watcher> w{here()};
  w.ask(pair_of_actors{a, b}, 20s).value();
  ::kill(a.process().value().pid, SIGKILL);
  CHECK(harness::eventually([&] { return !a.is_alive(); }));
  b.stop();
  const auto ends = w.ask(heard_of{}, 20s).value();
  CHECK(ends == std::vector<std::string>{"first: killed by SIGKILL", "second: killed by SIGTERM"});
}

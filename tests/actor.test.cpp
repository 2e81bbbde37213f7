// SPDX-License-Identifier: BSD-3-Clause
// Typed actors: asking, telling, replies that come later, ends.
#include "process_support.hpp"

#include <cloister/actor.hpp>

#include <csignal>

using namespace cloister;
using namespace support;

namespace {

struct deposit {
  long cents;
};
struct balance {};
struct fail_now {
  std::string why;
};
struct die {};
struct account {
  long cents = 0;
  long on(deposit d) { return cents += d.cents; }
  long on(balance) const { return cents; }
  void on(const fail_now& f) { throw std::runtime_error(f.why); }
  void on(die) { ::raise(SIGKILL); }
};

void teller(actor<account> a) {
  for (int i = 0; i < 100; ++i) a.ask(deposit{5});
}

}  // namespace

TEST_CASE("an actor is built from its arguments and answers what it is asked, from several processes") {
  EACH_METHOD(how);
  const actor<account> a{here(), {.process = {.start = how}}, 100};
  {
    process t1{here(), by(how), teller, a}, t2{here(), by(how), teller, a};
    a.tell(deposit{1});
  }
  CHECK(a.ask(balance{}) == 1101);
  CHECK(a.ask(balance{}, 20s).value() == 1101);
}

TEST_CASE("a handler's exception answers the asker, and ends the actor or not") {
  const auto policy = GENERATE(error_policy::end_actor, error_policy::keep_state);
  const actor<account> a{here(), {.on_error = policy}, 7};
  const auto r = a.ask(fail_now{"no"}, 20s);
  INFO(r.error().text());
  REQUIRE(r == errc::threw);
  CHECK(r.error().text() == "std::runtime_error: no");
  CHECK(r.error().exit()->exception_type() == "std::runtime_error");
  if (policy == error_policy::keep_state) {
    CHECK(a.ask(balance{}) == 7);
  } else {
    const auto after = a.ask(balance{}, 20s);
    REQUIRE(after == errc::peer_down);
    CHECK(after.error().exit()->exception_text() == "no");
  }
}

TEST_CASE("whoever waits for an actor that is killed hears of it at once, and so does who asks later") {
  const actor<account> a{here()};
  const auto r = a.ask(die{}, 20s);
  REQUIRE(r == errc::peer_down);
  CHECK(r.error().exit()->signal() == SIGKILL);
  CHECK(a.ask(balance{}, 20s) == errc::peer_down);
  CHECK(a.tell(deposit{1}, 20s) == errc::peer_down);
  CHECK_FALSE(a.is_alive());
}

TEST_CASE("an actor ends when its last handle goes, and when it is stopped") {
  std::optional<actor<account>> a;
  a.emplace(here());
  const auto pid = a->process().value().pid;
  const auto copy = *a;
  a.reset();
  CHECK(copy.ask(balance{}) == 0);
  CHECK(alive(pid));
  a = copy;
  a->stop();
  CHECK(all_gone({pid}));
  CHECK(a->ask(balance{}, 20s) == errc::closed);
  pid_t second = 0;
  {
    const actor<account> b{here()};
    second = b.process().value().pid;
  }
  CHECK(all_gone({second}));
}

TEST_CASE("a supervised actor's handle follows its restarts; what it had not taken waits for its successor") {
  const supervisor s{here(), {.intensity = 5}};
  const actor<account> a{s, {.id = "acc"}, 100};
  CHECK(a.ask(deposit{5}) == 105);
  CHECK(a.ask(die{}, 20s) == errc::peer_down);
  CHECK(a.ask(balance{}) == 100);
  ::kill(a.process().value().pid, SIGSTOP);
  a.tell(deposit{1});
  a.tell(deposit{2});
  ::kill(a.process().value().pid, SIGKILL);
  CHECK(a.ask(balance{}) == 103);
  s.terminate_child("acc");
  CHECK(a.ask(balance{}, 20s) == errc::closed);
  s.restart_child("acc");
  CHECK(a.ask(balance{}) == 100);
}

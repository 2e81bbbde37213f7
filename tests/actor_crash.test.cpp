// SPDX-License-Identifier: BSD-3-Clause
// Whoever is killed, at whatever step of asking, telling, handling and replying: all others hear of it, nothing hangs, nothing is handled twice, and
// what was answered was handled.
#include "process_support.hpp"

#include <cloister/actor.hpp>
#include <cloister/fault.hpp>

#include <csignal>
#include <map>
#include <stdexcept>
#include <string>

using namespace cloister;
using namespace support;

namespace {

constexpr int each = 8;  // messages of each who sends

enum sender : int { asking_process, asking_actor, teller, the_test };
struct question {
  int from = 0, number = 0;
  std::string padding;
};
struct answer {
  int number = 0;
  std::string padding;
};
struct order {
  int number = 0;
};
struct handled {
  int from = 0, number = 0;
  bool operator<(const handled& other) const { return std::pair(from, number) < std::pair(other.from, other.number); }
};

// Only the first process that asks has a plan to follow.
void follow_plan(const source<fault>& plans) {
  if (const auto plan = plans.try_get()) inject_fault(*plan);
}

struct server {
  sink<handled> log;
  server(source<fault> plans, sink<handled> to) : log(std::move(to)) { follow_plan(plans); }
  answer on(question q) {
    log.put({q.from, q.number});
    return {2 * q.number, q.padding};
  }
  void on(order o) { log.put({teller, o.number}); }
};

// What the sender heard: answered, or down. Anything else is wrong.
struct heard {
  int answered = 0, down = 0;
};
void hear(heard& all, const question& asked, const result<answer>& got) {
  if (got) {
    if (got->number != 2 * asked.number || got->padding != asked.padding) throw std::runtime_error("another one's answer");
    ++all.answered;
  } else if (got == errc::peer_down) {
    ++all.down;
  } else {
    throw std::runtime_error("question " + std::to_string(asked.number) + ": " + got.error().text());
  }
}

void ask_all(actor<server> whom, source<fault> plans, std::size_t padding, sink<heard> out) {
  follow_plan(plans);
  heard all;
  for (int n = 0; n < each; ++n) {
    const question q{asking_process, n, std::string(padding, 'p')};
    hear(all, q, whom.ask(q, 60s));
  }
  clear_faults();
  out.put(all);
}

void tell_all(actor<server> whom, source<fault> plans, sink<heard> out) {
  follow_plan(plans);
  heard all;
  for (int n = 0; n < each; ++n) {
    const auto told = whom.tell(order{n}, 60s);
    if (told) ++all.answered;
    else if (told == errc::peer_down) ++all.down;
    else throw std::runtime_error(told.error().text());
  }
  clear_faults();
  out.put(all);
}

struct begin {
  actor<server> whom;
  std::size_t padding = 0;
};
struct driver {
  explicit driver(source<fault> plans) { follow_plan(plans); }
  reply<heard> on(self& me, begin b) {
    heard all;
    for (int n = 0; n < each; ++n) {
      const question q{asking_actor, n, std::string(b.padding, 'a')};
      const auto got = co_await me.ask(b.whom, q, 60s);
      hear(all, q, got);
    }
    co_return all;
  }
};

enum victim : int { the_server, the_asking_process, the_asking_actor, the_teller };

// Returns whether the victim was killed.
bool survives(victim who, const fault& what, bool is_supervised) {
  INFO("victim " << who << ", " << what.operation << " step " << what.step << ", skipped " << what.skip
                 << (is_supervised ? ", supervised" : ""));
  const std::size_t padding = what.operation.starts_with("chunk") ? 100'000 : 10;
  queue<handled> log{here()};
  queue<fault> plan{here()}, none{here()};
  plan.put(what);
  const auto plan_of = [&](victim v) { return v == who ? plan : none; };
  queue<heard> from_asker{here()}, from_teller{here()};
  const supervisor s{here(), {.intensity = 1000}};
  const auto a = is_supervised ? actor<server>{s, {.id = "server"}, plan_of(the_server), log}
                               : actor<server>{here(), plan_of(the_server), log};
  const auto first = a.process();
  const actor<driver> d{here(), plan_of(the_asking_actor)};
  process asker{here(), ask_all, a, plan_of(the_asking_process), padding, from_asker};
  process tells{here(), tell_all, a, plan_of(the_teller), from_teller};

  const auto by_actor = d.ask(begin{a, padding}, 120s);
  const auto asker_exit = asker.join(120s).value(), teller_exit = tells.join(120s).value();
  const auto by_process = from_asker.try_get(), by_teller = from_teller.try_get();
  const bool server_killed =
      who == the_server && (!is_supervised ? !a.is_alive() : a.process() != first || by_actor.value().down > 0);
  const bool killed = server_killed || (who == the_asking_actor && !d.is_alive()) || asker_exit.signal() == SIGKILL ||
                      teller_exit.signal() == SIGKILL;

  // Whoever was not killed has heard of each of its messages; of one that failed only if the server died, and of one only if it has a successor.
  const auto whole = [&](const result<heard>& h, victim v) {
    if (v == who && !h) return;
    REQUIRE(h);
    CHECK(h->answered + h->down == each);
    if (who != the_server) CHECK(h->down == 0);
    if (is_supervised) CHECK(h->down <= 1);
  };
  if (who == the_asking_actor && !by_actor) CHECK(by_actor == errc::peer_down);
  else whole(by_actor, the_asking_actor);
  whole(by_process, the_asking_process);
  whole(by_teller, the_teller);
  if (who != the_asking_process) CHECK(asker_exit.success());
  if (who != the_teller) CHECK(teller_exit.success());

  // The server, or its successor, goes on.
  if (who != the_server || is_supervised) {
    result<answer> last = error(errc::closed, "");
    for (int tries = 0; tries < 2 && !last; ++tries) last = a.ask(question{the_test, tries, ""}, 60s);
    REQUIRE(last);
  }
  std::map<handled, int> times;
  while (const auto h = log.try_get()) ++times[*h];
  int answered[4] = {};
  for (const auto& [what_was, count] : times) {
    CHECK(count == 1);
    ++answered[what_was.from];
  }
  if (by_actor) CHECK(answered[asking_actor] >= by_actor->answered);
  if (by_process) CHECK(answered[asking_process] >= by_process->answered);
  if (by_teller && (who != the_server || is_supervised))
    CHECK(answered[teller] >= by_teller->answered - (who == the_server ? 1 : 0));
  return killed;
}

// Kills the victim at each step of each of the operations, the first or the fourth time that it gets there. `rare`: it may never.
void kill_at_each_step(victim who, const std::vector<std::string>& operations, const std::vector<std::string>& rare) {
  const bool is_supervised = GENERATE(true, false);
  const auto killed_in = [&](const std::string& operation) {
    unsigned killed = 0;
    for (unsigned step = 1; step <= fault_steps(operation); ++step)
      for (const unsigned skip : {0u, 3u})
        killed += survives(who, {.operation = operation, .step = step, .skip = skip}, is_supervised) ? 1 : 0;
    return killed;
  };
  for (const auto& operation : rare) killed_in(operation);
  for (const auto& operation : operations) {
    INFO(operation);
    CHECK(killed_in(operation) >= fault_steps(operation) / 2);
  }
}

}  // namespace

TEST_CASE("whatever step an actor is killed at, whoever asked it hears, and its successor goes on") {
  kill_at_each_step(the_server, {"handle", "get", "put"}, {"wait", "notify", "chunk", "chunk_grow", "grow", "give_back"});
}

TEST_CASE("whatever step a process that asks is killed at, the actor and all others go on") {
  kill_at_each_step(the_asking_process, {"ask", "get", "put"}, {"wait", "notify", "chunk", "chunk_grow"});
}

TEST_CASE("whatever step an actor that asks is killed at, whoever asked it hears, and all others go on") {
  kill_at_each_step(the_asking_actor, {"ask", "handle", "get", "put"}, {"wait", "notify", "chunk"});
}

TEST_CASE("whatever step a process that tells is killed at, the actor and all others go on") {
  kill_at_each_step(the_teller, {"put"}, {"notify"});
}

// SPDX-License-Identifier: BSD-3-Clause
// Deaths that the big table leaves out: dead letters, close, those who sleep, two at once, and the repair itself.
#include "slots_crash.hpp"

using namespace slots_test;

namespace {

void repair(slots& q, std::initializer_list<actor_id> dead) { q.repair(std::vector<actor_id>(dead)); }

/// Leaves the queue as a victim leaves it that did much and died in the middle of it all: a message being written, a large
/// one too, one taken, one leased, one between its slot and the table, chunks of a delivered one.
std::vector<seen> wreck(slots& q) {
  fill(q, 1, 5, 30'000);
  fill(q, 6, 2);
  const auto dies = [&](const char* operation, unsigned step, actor_id me, auto&& body) {
    REQUIRE(die_at(operation, step, 0, [&] { body(me); }).signal() == SIGKILL);
  };
  const auto take = [&](actor_id me) { return q.take(me, deadline::passed()).value(); };
  dies("ack", 1, 11, [&](actor_id me) { (void)q.ack(me, *take(me).lease()); });  // 1: leased
  dies("lease", 4, 12, [&](actor_id me) { (void)take(me).lease(); });            // 2: in both places
  dies("get", 2, 13, [&](actor_id me) { take(me); });                            // 3: taken
  dies("get", 7, 14, [&](actor_id me) { take(me).deliver(); });                  // 4: delivered, its chunks half freed
  dies("lease", 2, 15, [&](actor_id me) { (void)take(me).lease(); });            // 5: on its way to the table
  dies("put", 4, 16, [&](actor_id me) { (void)q.put(me, message(99), deadline::passed()); });  // half written
  dies("chunk", 3, 17, [&](actor_id me) { (void)q.put(me, message(99, 30'000), deadline::passed()); });
  dies("chunk", 5, 18, [&](actor_id me) { (void)q.put(me, message(99, 30'000), deadline::passed()); });
  dies("put", 6, 19, [&](actor_id me) { (void)q.put(me, message(8), deadline::passed()); });  // committed
  return {{1, 1}, {2, 1}, {3, 1}, {5, 1}, {6, 0}, {7, 0}, {8, 0}};
}

const std::vector<actor_id> wrecked{11, 12, 13, 14, 15, 16, 17, 18, 19};

}  // namespace

TEST_CASE("slots: one repair puts right what many dead left behind, and says so") {
  auto q = make();
  const auto expected = wreck(*q);
  REQUIRE(q->unfinished());
  const auto report = q->repair(wrecked);
  REQUIRE(report.torn == 2);
  REQUIRE(report.requeued == 3);
  REQUIRE(report.returned == 1);
  REQUIRE(report.buried == 0);
  REQUIRE(report.chunks > 10);
  REQUIRE(drain(*q) == expected);
  REQUIRE(leaks(*q) == "");
  REQUIRE(q->wait_idle(deadline::passed()).has_value());
}

TEST_CASE("slots: a repair killed at any step and run again ends as if it had run once", "[deadline:120]") {
  const unsigned max_deliveries = GENERATE(0U, 1U);
  unsigned kills = 0;
  for (const auto operation : {"repair", "bury", "lease", "get"})
    for (unsigned step = 1; step <= fault_steps(operation); ++step)
      for (unsigned skip = 0; skip < 40; ++skip) {
        INFO("killed at " << operation << ' ' << step << " after " << skip << "; at most " << max_deliveries << " deliveries");
        auto q = make({.max_deliveries = max_deliveries});
        const auto expected = wreck(*q);
        if (die_at(operation, step, skip, [&] { q->repair(wrecked); }).signal() != SIGKILL) break;
        ++kills;
        q->repair(wrecked);
        std::vector<seen> got = drain(*q);
        for (;;) {
          auto t = q->take_dead(survivor, deadline::passed());
          if (!t) break;
          got.push_back({number_of(*t), t->redeliveries()});
          t->deliver();
        }
        std::sort(got.begin(), got.end(), [](const seen& a, const seen& b) { return a.number < b.number; });
        REQUIRE(got.size() == expected.size());
        for (std::size_t i = 0; i < got.size(); ++i) {
          REQUIRE(got[i].number == expected[i].number);
          // A burial cut short may be counted once more; a redelivery is never missed.
          REQUIRE((max_deliveries == 0 ? got[i] == expected[i] : got[i].redeliveries >= expected[i].redeliveries));
        }
        REQUIRE(leaks(*q) == "");
        REQUIRE(lies(*q) == "");
      }
  REQUIRE(kills > 30);
}

TEST_CASE("slots: two that die in each other's way leave nothing behind, in either order of repair", "[deadline:120]") {
  // The first dies somewhere in a lease, the second in whatever it does next, before anybody repaired the first.
  for (const auto& first : fault_places())
    for (const bool together : {true, false}) {
      if (!chosen()) continue;
      if (first.operation != "lease" && first.operation != "get" && first.operation != "chunk" && first.operation != "grow")
        continue;
      auto q = make({.message_size = 4096});
      fill(*q, 1, 30, 9000);
      const auto work = [&](actor_id me, std::uint64_t number) {
        for (int i = 0; i < 3; ++i) {
          if (auto t = q->take(me, deadline::passed()))
            if (const auto l = t->lease(); l && i > 0) (void)q->ack(me, *l);
          (void)q->put(me, message(number + static_cast<std::uint64_t>(i), 9000), deadline::passed());
        }
      };
      if (die_at(first.operation, first.step, first.skip, [&] { work(victim, 100); }).signal() != SIGKILL) continue;
      std::uint64_t number = 200;
      for (const auto& second : {fault_place{"get", 2, 1}, {"lease", 4, 0}, {"chunk", 5, 1}, {"get", 7, 0}, {"put", 6, 1}}) {
        INFO("the first dies at " << first.text() << ", the second at " << second.text());
        die_at(second.operation, second.step, second.skip, [&] { work(8, number); });
        number += 10;
      }
      if (together) {
        repair(*q, {victim, 8});
      } else {
        repair(*q, {8});
        repair(*q, {victim});
      }
      std::set<std::uint64_t> numbers;
      for (const auto& m : drain(*q)) {
        INFO("number " << m.number);
        REQUIRE(m.number != torn);
        REQUIRE(numbers.insert(m.number).second);  // once
      }
      for (std::uint64_t n = 20; n <= 30; ++n) REQUIRE(numbers.count(n) == 1);  // too far back for anybody to have had
      REQUIRE(leaks(*q) == "");
    }
}

TEST_CASE("slots: whoever dies with dead letters in hand leaves them dead letters") {
  const std::size_t size = GENERATE(8, 40'000);
  for (const auto& p : {fault_place{"give_back", 1, 0},
                        {"give_back", 2, 0},
                        {"give_back", 3, 0},
                        {"take_dead", 1, 0},
                        {"get", 3, 1},
                        {"get", 4, 0},
                        {"get", 5, 1},
                        {"get", 7, 0},
                        {"get", 8, 0}}) {
    INFO("dies at " << p.text());
    auto q = make({.max_deliveries = 1});
    put(*q, 1, size);
    const auto ended = die_at(p.operation, p.step, p.skip, [&] {
      auto t = q->take(victim, deadline::passed());
      (void)number_of(*t);
      (void)q->give_back(victim, *t->lease());
      t = q->take_dead(victim, deadline::passed());
      (void)number_of(*t);
      t->deliver();
    });
    REQUIRE((ended.signal() == SIGKILL || p.step == (size == 8 ? 7 : 3)));  // small: no chunks; large: no second half
    if (ended.signal() != SIGKILL) continue;
    repair(*q, {victim});
    REQUIRE(drain(*q).empty());
    const bool gone = p.operation == "get" && p.step >= 5;
    auto t = q->take_dead(survivor, deadline::passed());
    REQUIRE(t.has_value() != gone);
    if (t) {
      REQUIRE(number_of(*t) == 1);
      t->deliver();
    }
    REQUIRE(leaks(*q) == "");
  }
}

TEST_CASE("slots: a message that kills its consumers ends among the dead letters, also when no consumer is left") {
  auto q = make({.max_deliveries = 3});
  const std::size_t size = GENERATE(8, 40'000);
  const bool leased = GENERATE(false, true);
  put(*q, 1, size);
  put(*q, 2);
  for (actor_id me = 10; me < 13; ++me) {
    REQUIRE(harness::forked([&] {
              auto t = q->take(me, deadline::passed());
              if (leased) (void)t->lease();
              ::raise(SIGKILL);
            }).signal() == SIGKILL);
    repair(*q, {me});
  }
  REQUIRE(q->stats().dead == 1);
  REQUIRE(get(*q) == 2);
  REQUIRE_FALSE(q->unfinished());
  auto t = q->take_dead(survivor, deadline::passed());
  REQUIRE(number_of(*t) == 1);
  REQUIRE(t->redeliveries() == 3);
  t->deliver();
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("slots: a close that died at any step has closed the queue for everybody, asleep or not") {
  for (const auto mode : {close_mode::drain, close_mode::now})
    for (const auto& p : {fault_place{"close", 1, 0},
                          {"close", 2, 0},
                          {"get", 2, 0},
                          {"get", 2, 1},
                          {"get", 5, 1},
                          {"get", 7, 0},
                          {"close", 3, 0}}) {
      INFO("dies at " << p.text());
      auto q = make();
      harness::child reader([&] { return q->take(2, deadline::never()) == errc::closed; });
      auto full = make({.max_items = 1});
      put(*full, 1);
      harness::child writer([&] { return full->put(2, message(2), deadline::never()) == errc::closed; });
      REQUIRE(harness::eventually([&] { return harness::asleep(reader.pid()) && harness::asleep(writer.pid()); }));
      die_at(p.operation, p.step, p.skip, [&] {
        q->close(victim, mode);
        full->close(victim, mode);
      });
      // The victim may have died before it came to the second queue.
      full->close(survivor, mode);
      repair(*q, {victim});
      repair(*full, {victim});
      REQUIRE(reader.wait().success());
      REQUIRE(writer.wait().success());

      q = make();
      fill(*q, 1, 3, 20'000);
      const bool died = die_at(p.operation, p.step, p.skip, [&] { q->close(victim, mode); }).signal() == SIGKILL;
      REQUIRE((died || p.operation == "get" || p.step == 3));
      repair(*q, {victim});
      REQUIRE(q->put(1, message(1), deadline::never()) == errc::closed);
      REQUIRE(drain(*q).size() == (mode == close_mode::drain ? 3 : 0));
      REQUIRE(q->take(2, deadline::never()) == errc::closed);
      REQUIRE(leaks(*q) == "");
    }
}

TEST_CASE("slots: puts, gets and closes wake those who sleep on them") {
  auto q = make({.max_items = 1});
  harness::child reader([&] { return number_of(*q->take(2, deadline::never())) == 1; });
  REQUIRE(harness::eventually([&] { return harness::asleep(reader.pid()); }));
  put(*q, 1);
  REQUIRE(reader.wait().success());  // dropped: back
  harness::child writer([&] { return q->put(2, message(5), deadline::never()).has_value(); });
  REQUIRE(harness::eventually([&] { return harness::asleep(writer.pid()); }));
  REQUIRE(get(*q) == 1);
  REQUIRE(writer.wait().success());
  harness::child late_writer([&] { return q->put(2, message(6), deadline::never()) == errc::closed; });
  REQUIRE(harness::eventually([&] { return harness::asleep(late_writer.pid()); }));
  auto held = q->take(3, deadline::passed());
  harness::child late_reader([&] { return q->take(2, deadline::never()) == errc::closed; });
  harness::child joiner([&] { return q->wait_idle(deadline::never()).has_value(); });
  REQUIRE(harness::eventually([&] { return harness::asleep(late_reader.pid()) && harness::asleep(joiner.pid()); }));
  q->close(1, close_mode::drain);
  REQUIRE(late_writer.wait().success());
  REQUIRE(harness::eventually([&] { return harness::asleep(late_reader.pid()); }));  // what is held may come back
  held->deliver();
  REQUIRE(late_reader.wait().success());
  REQUIRE(joiner.wait().success());
}

TEST_CASE("slots: who sleeps on what a dead process held, or was to be woken by it, wakes after the repair") {
  for (const auto& p : {fault_place{"notify", 1, 0}, {"notify", 2, 0}, {"notify", 3, 0}, {"put", 6, 0}, {"put", 7, 0}}) {
    INFO("a producer dies at " << p.text());
    auto q = make();
    harness::child reader([&] { return get(*q, 2) == torn && await(*q, 2) == 5; });
    REQUIRE(harness::eventually([&] { return harness::asleep(reader.pid()); }));
    REQUIRE(die_at(p.operation, p.step, p.skip, [&] { put(*q, 5, 8, victim); }).signal() == SIGKILL);
    repair(*q, {victim});
    REQUIRE(reader.wait().success());
  }
  for (const auto& p :
       {fault_place{"notify", 1, 0}, {"notify", 2, 0}, {"notify", 3, 0}, {"get", 2, 0}, {"get", 5, 0}, {"get", 8, 0}}) {
    INFO("a consumer dies at " << p.text());
    auto q = make({.max_items = 1});
    put(*q, 1);
    harness::child writer([&] { return q->put(2, message(5), 20s).has_value(); });
    REQUIRE(harness::eventually([&] { return harness::asleep(writer.pid()); }));
    REQUIRE(die_at(p.operation, p.step, p.skip, [&] { get(*q, victim); }).signal() == SIGKILL);
    repair(*q, {victim});
    if (p.step == 2 && p.operation == "get") REQUIRE(get(*q) == 1);
    REQUIRE(writer.wait().success());
    REQUIRE(get(*q) == 5);
  }
  // The sleeper itself dies, at each step of waiting; the next message goes to another.
  for (unsigned step = 1; step <= fault_steps("wait"); ++step) {
    INFO("a waiter dies at step " << step);
    auto q = make();
    harness::child waiter([&] {
      inject_fault({.operation = "wait", .step = step});
      (void)q->take(victim, 20s);
    });
    if (step == 3) {
      REQUIRE(harness::eventually([&] { return harness::asleep(waiter.pid()); }));
      put(*q, 1);  // wakes it, to its death
    }
    REQUIRE(waiter.wait().signal() == SIGKILL);
    harness::child other([&] { return await(*q, 2) == 1; });
    if (step != 3) put(*q, 1);
    repair(*q, {victim});
    REQUIRE(other.wait().success());
  }
}

TEST_CASE("promise 11: a consumer killed in get leaves its message to the others, at once") {
  auto q = make();
  harness::child blocked([&] { (void)q->take(victim, deadline::never()); });
  REQUIRE(harness::eventually([&] { return harness::asleep(blocked.pid()); }));
  blocked.kill();
  put(*q, 1);
  REQUIRE(get(*q) == 1);  // no repair needed
  put(*q, 2);
  REQUIRE(die_at("get", 4, 0, [&] { get(*q, victim); }).signal() == SIGKILL);
  REQUIRE(get(*q) == torn);
  repair(*q, {victim});
  auto t = q->take(2, deadline::passed());
  REQUIRE(number_of(*t) == 2);
  REQUIRE(t->redeliveries() == 1);
}

TEST_CASE("promise 12: of a producer killed during a put of 100 MB nobody sees a byte, and others go on") {
  auto q = make();
  const std::vector<std::byte> big(100'000'000);
  for (const auto& p : {fault_place{"chunk", 3, 0}, {"chunk", 5, 12'000}, {"put", 5, 0}}) {
    REQUIRE(die_at(p.operation, p.step, p.skip, [&] { (void)q->put(victim, big, deadline::passed()); }).signal() == SIGKILL);
    put(*q, 1);
    put(*q, 2, 1'000'000);
    REQUIRE(get(*q) == 1);
    REQUIRE(get(*q) == 2);
    REQUIRE(get(*q) == torn);
    repair(*q, {victim});
    REQUIRE(get(*q) == torn);
    REQUIRE(leaks(*q) == "");
  }
}

TEST_CASE("slots: a large dead letter that finds no place stays, and the message behind it is its own") {
  auto q = make({.max_bytes = 32 * 1024, .max_deliveries = 1});
  do put(*q, 5000);
  while (q->take(bystander, deadline::passed())->lease()->entry != lease_token::in_slot);
  put(*q, 1, 5000);
  put(*q, 2);
  REQUIRE(die_at("get", 2, 0, [&] { (void)q->take(victim, deadline::passed()); }).signal() == SIGKILL);
  REQUIRE(q->repair(std::vector<actor_id>{victim}).requeued == 1);
  auto t = q->take(survivor, deadline::passed());
  REQUIRE(t.has_value());
  REQUIRE(number_of(*t) == 2);
  t->deliver();
  REQUIRE(q->take(survivor, deadline::passed()) == errc::would_block);
  REQUIRE_FALSE(q->would_return(survivor));  // or whoever waits for it would never sleep
  release_bystander(*q);
  const auto dead = [&] {
    auto letter = q->take_dead(survivor, deadline::passed());
    const auto number = number_of(*letter);
    letter->deliver();
    return number;
  };
  while (q->stats().dead != 0) REQUIRE(dead() == 5000);  // the bystander's
  REQUIRE(q->take(survivor, deadline::passed()) == errc::would_block);
  REQUIRE(dead() == 5000);  // its lease was in the slot
  REQUIRE(dead() == 1);
  REQUIRE(leaks(*q) == "");
}

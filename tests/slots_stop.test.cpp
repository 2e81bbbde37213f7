// SPDX-License-Identifier: BSD-3-Clause
// A process stopped by SIGSTOP at any step of a call: the others go on, and when it continues it ends as if nothing had been.
#include "slots_crash.hpp"

using namespace slots_test;

namespace {

struct role {
  std::string name;
  std::function<void(slots&, report&)> act;  // reports what it put and what became its own
};

// A get's message is the victim's when deliver() returns; a lease's when its ack does.
std::vector<role> roles() {
  const auto own = [](slots& q, report& r, std::size_t size) {
    if (q.put(victim, message(new_number, size), deadline::passed())) ++r.put;
  };
  return {
      {"puts a small message", [=](slots& q, report& r) { own(q, r, 40); }},
      {"puts a large message", [=](slots& q, report& r) { own(q, r, 50'000); }},
      {"gets a message",
       [](slots& q, report& r) {
         auto t = q.take(victim, deadline::passed());
         if (!t) return;
         const auto n = number_of(*t);
         t->deliver();
         r.got(n);
       }},
      {"takes a message and gives it back",
       [](slots& q, report&) {
         if (auto t = q.take(victim, deadline::passed())) t->give_back();
       }},
      {"leases a message and acknowledges it",
       [](slots& q, report& r) {
         auto t = q.take(victim, deadline::passed());
         if (!t) return;
         const auto n = number_of(*t);
         if (q.ack(victim, *t->lease())) r.got(n);
       }},
      {"leases a message and gives it back",
       [](slots& q, report&) {
         if (auto t = q.take(victim, deadline::passed())) (void)q.give_back(victim, *t->lease());
       }},
  };
}

void check(const state& s, const role& v, const fault_place& p) {
  auto q = make(s.options);
  const auto before = s.prepare(*q);
  auto& r = shared_report();
  r.call = r.put = r.delivered = 0;
  harness::child stopped([&] {
    inject_fault({.operation = p.operation, .step = p.step, .action = fault_action::stop, .skip = p.skip});
    v.act(*q, r);
    clear_faults();
    return true;
  });
  const bool was_stopped = stopped.wait_stopped();
  INFO("a queue that is " << s.name << "; somebody " << v.name << " and is stopped at " << p.text());
  std::map<std::uint64_t, int> count;
  const auto take_all = [&] {
    auto all = drain(*q);
    for (const auto& m : all) ++count[m.number];
    return all.size();
  };
  if (was_stopped) {
    // Nobody waits for it: all that it does not hold can be taken,
    const auto taken_now = take_all();
    REQUIRE(taken_now + 1 >= before.size());
    // and where there is room for two in the queue's window, others' messages pass.
    const bool narrow = s.options.max_items != 0 && s.options.max_items <= before.size();
    for (std::uint64_t n = 0; n < (narrow ? 0U : 50U); ++n) {
      if (s.options.max_items != 0 && n >= s.options.max_items - before.size()) break;
      put(*q, 2000 + n, n % 10 == 9 ? 9000 : 8);
      REQUIRE(get(*q) == 2000 + n);
    }
    q->look();
    REQUIRE(lies(*q) == "");
    do stopped.signal(SIGCONT);  // it may come by again
    while (stopped.wait_stopped());
  }
  REQUIRE(stopped.wait().success());
  take_all();
  for (unsigned i = 0; i < r.delivered; ++i) ++count[r.numbers[i]];
  for (const auto n : before) {
    INFO("message " << n);
    REQUIRE(count[n] == 1);
  }
  REQUIRE(count[new_number] == static_cast<int>(r.put));
  REQUIRE(count.count(torn) == 0);
  release_bystander(*q);
  REQUIRE(leaks(*q) == "");
}

}  // namespace

TEST_CASE("slots: whoever is stopped at whatever step, the others go on and nothing is lost or doubled", "[deadline:300]") {
  for (const auto& s : states())
    for (const auto& v : roles())
      for (const auto& p : fault_places())
        if (p.operation != "wait" && chosen()) check(s, v, p);
}

TEST_CASE("slots: behind a message that somebody holds for long, others pass without looking at it each time") {
  auto q = make({.message_size = 8});
  constexpr std::uint64_t all = 1'000'000, held = 530'000;  // early in the last ring, of half a million slots
  for (std::uint64_t i = 0; i < all; ++i) put(*q, i);
  for (std::uint64_t i = 0; i < held; ++i) REQUIRE(get(*q, 3) == i);
  auto first = q->take(2, deadline::passed());
  auto second = q->take(2, deadline::passed());
  for (std::uint64_t i = held + 2; i < all; ++i) REQUIRE(get(*q, 3) == i);  // 1e11 looks if each began at the head
  REQUIRE(get(*q, 3) == torn);
  second->give_back();
  REQUIRE(get(*q, 3) == held + 1);
  put(*q, 7);
  first->give_back();
  REQUIRE(get(*q, 3) == held);
  REQUIRE(get(*q, 3) == 7);
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("promise 16: a get that passed by a message being written looks again before it takes a later one") {
  auto q = make();
  harness::child writer([&] {
    inject_fault({.operation = "put", .step = 2, .action = fault_action::stop});
    return q->put(8, message(1), deadline::passed()).has_value();
  });
  REQUIRE(writer.wait_stopped());
  harness::child reader([&] {
    inject_fault({.operation = "get", .step = 9, .action = fault_action::stop});
    return get(*q, victim) == 1;
  });
  REQUIRE(reader.wait_stopped());
  writer.signal(SIGCONT);
  REQUIRE(writer.wait().success());  // its put has returned,
  put(*q, 2);                        // and only then this one begins
  do reader.signal(SIGCONT);
  while (reader.wait_stopped());
  REQUIRE(reader.wait().success());
  REQUIRE(get(*q) == 2);
}

TEST_CASE("slots: a put that was stopped before its claim and continues after close and drain is refused") {
  auto q = make();
  harness::child stopped([&] {
    inject_fault({.operation = "put", .step = 1, .action = fault_action::stop});
    return q->put(victim, message(1), deadline::never()) == errc::closed;
  });
  REQUIRE(stopped.wait_stopped());
  q->close(1, close_mode::drain);
  REQUIRE(q->take(2, deadline::never()) == errc::closed);
  harness::child joiner([&] { return q->wait_idle(20s).has_value(); });
  stopped.signal(SIGCONT);
  REQUIRE(stopped.wait().success());
  REQUIRE(joiner.wait().success());
  REQUIRE(q->size() == 0);
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("slots: a put that was stopped before its commit and continues after a close(now) leaves nothing behind") {
  auto q = make();
  harness::child stopped([&] {
    inject_fault({.operation = "put", .step = 5, .action = fault_action::stop});
    return q->put(victim, message(1), deadline::never()).has_value();
  });
  REQUIRE(stopped.wait_stopped());
  q->close(1, close_mode::now);
  harness::child joiner([&] { return q->wait_idle(20s).has_value(); });
  REQUIRE(harness::eventually([&] { return harness::asleep(joiner.pid()); }));
  stopped.signal(SIGCONT);
  REQUIRE(stopped.wait().success());
  REQUIRE(joiner.wait().success());
  REQUIRE(q->size() == 0);
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("slots: a join that sleeps through a close(now) is told when everything is thrown away") {
  auto q = make();
  put(*q, 1);
  harness::child joiner([&] { return q->wait_idle(20s).has_value(); });
  harness::child closer([&] {
    inject_fault({.operation = "close", .step = 2, .action = fault_action::stop});  // everybody has been woken
    q->close(victim, close_mode::now);
    return true;
  });
  REQUIRE(closer.wait_stopped());
  REQUIRE(harness::eventually([&] { return harness::asleep(joiner.pid()); }));
  closer.signal(SIGCONT);
  REQUIRE(closer.wait().success());
  REQUIRE(joiner.wait().success());
}

TEST_CASE("slots: who slept while its ring was drained and given back puts and gets in the rings of the present") {
  auto q = make({.message_size = 4096});
  const auto leave_first_ring = [&](std::uint64_t left) {
    fill(*q, 1, 40);
    while (q->size() > left) get(*q);
    REQUIRE(q->layout().shared().get_ring == 1);
  };
  SECTION("a put that had found a slot") {
    harness::child stopped([&] {
      inject_fault({.operation = "put", .step = 1, .action = fault_action::stop});
      const auto r = q->put(victim, message(777), deadline::passed());
      return r.has_value();
    });
    REQUIRE(stopped.wait_stopped());
    leave_first_ring(0);
    do stopped.signal(SIGCONT);
    while (stopped.wait_stopped());
    REQUIRE(stopped.wait().success());
    REQUIRE(get(*q) == 777);
  }
  SECTION("a get that had found a message") {
    put(*q, 500);
    harness::child stopped([&] {
      inject_fault({.operation = "get", .step = 1, .action = fault_action::stop});
      return get(*q, victim) == 40;
    });
    REQUIRE(stopped.wait_stopped());
    leave_first_ring(1);
    do stopped.signal(SIGCONT);
    while (stopped.wait_stopped());
    REQUIRE(stopped.wait().success());
  }
  SECTION("a put that was about to grow the queue into a ring long gone") {
    fill(*q, 100, 31);
    harness::child stopped([&] {
      inject_fault({.operation = "grow", .step = 1, .action = fault_action::stop});
      const auto r = q->put(victim, message(777), deadline::passed());
      return r.has_value();
    });
    REQUIRE(stopped.wait_stopped());
    fill(*q, 1, 100);
    while (q->size() > 0) get(*q);
    REQUIRE(q->layout().shared().get_ring == 2);
    const auto before = q->stats().ring_bytes;
    do stopped.signal(SIGCONT);
    while (stopped.wait_stopped());
    REQUIRE(stopped.wait().success());
    REQUIRE(q->stats().ring_bytes == before);
    REQUIRE(get(*q) == 777);
  }
  REQUIRE(leaks(*q) == "");
  REQUIRE(lies(*q) == "");
}

TEST_CASE("slots: a wake-up swallowed by a stopped process is given to another by the look") {
  auto q = make();
  harness::child stopped([&] {
    inject_fault({.operation = "wait", .step = 3, .action = fault_action::stop});
    return await(*q, victim) == 2;
  });
  REQUIRE(harness::eventually([&] { return harness::asleep(stopped.pid()); }));
  harness::child other([&] { return await(*q, 2) == 1; });
  REQUIRE(harness::eventually([&] { return harness::asleep(other.pid()); }));
  put(*q, 1);  // wakes whoever slept first: the one that stops
  REQUIRE(stopped.wait_stopped());
  REQUIRE(harness::eventually([&] {
    q->look();
    return q->empty();
  }));
  REQUIRE(other.wait().success());
  put(*q, 2);
  stopped.signal(SIGCONT);
  REQUIRE(stopped.wait().success());
}

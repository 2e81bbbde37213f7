// SPDX-License-Identifier: BSD-3-Clause
// Leases, dead letters and idle, one thread at a time.
#include "slots_support.hpp"

using namespace slots_test;

namespace {

lease_token lease_from(slots& q, actor_id me = 2) {
  auto t = q.take(me, deadline::passed());
  REQUIRE(t.has_value());
  return t->lease().value();
}

}  // namespace

TEST_CASE("slots: a leased message is the holder's alone until it is acknowledged") {
  auto q = make();
  const std::size_t size = GENERATE(0, 8, 48, 300, 5000, 300'000);
  INFO("size " << size);
  put(*q, size < 8 ? 0 : 9, size);
  const auto l = lease_from(*q);
  REQUIRE(l.size == size);
  REQUIRE(q->size() == 0);
  REQUIRE(q->unfinished());
  REQUIRE(q->ack(3, l) == errc::invalid);
  REQUIRE(q->give_back(3, l) == errc::invalid);
  REQUIRE(q->ack(2, l).has_value());
  REQUIRE(q->ack(2, l) == errc::invalid);
  REQUIRE(q->give_back(2, l) == errc::invalid);
  REQUIRE_FALSE(q->unfinished());
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("slots: a lease that is given back goes to the next consumer, before all others, flagged") {
  auto q = make();
  const std::size_t size = GENERATE(8, 200'000);
  for (std::uint64_t i = 0; i < 10; ++i) put(*q, i, size);
  const auto a = lease_from(*q);
  const auto b = lease_from(*q);
  REQUIRE(get(*q) == 2);
  REQUIRE(q->give_back(2, b).has_value());
  REQUIRE(q->give_back(2, a).has_value());
  REQUIRE(q->size() == 9);
  for (std::uint64_t want = 0; want < 2; ++want) {
    auto t = q->take(3, deadline::passed());
    REQUIRE(number_of(*t) == want);
    REQUIRE(t->redeliveries() == 1);
    t->give_back();  // never seen by anybody: not counted
    t = q->take(3, deadline::passed());
    REQUIRE(number_of(*t) == want);
    REQUIRE(t->redeliveries() == 1);
    const auto again = t->lease().value();
    REQUIRE(q->give_back(3, again).has_value());
    t = q->take(4, deadline::passed());
    REQUIRE(number_of(*t) == want);
    REQUIRE(t->redeliveries() == 2);
    t->deliver();
  }
  for (std::uint64_t i = 3; i < 10; ++i) REQUIRE(get(*q) == i);
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("slots: with one task leased, a million others pass in a queue that stays small") {
  auto q = make({.max_items = 8});
  put(*q, 7777);
  const auto l = lease_from(*q);
  for (std::uint64_t i = 0; i < 1'000'000; ++i) {
    put(*q, i);
    REQUIRE(get(*q) == i);
  }
  REQUIRE(q->give_back(2, l).has_value());
  REQUIRE(get(*q) == 7777);
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("slots: the lease table grows; when it cannot, a lease stays in its slot and all else holds") {
  auto q = make({.max_bytes = 64 * 1024});
  std::vector<lease_token> all;
  std::uint64_t n = 0;
  for (; n < 400; ++n) {
    put(*q, n, n % 3 == 0 ? 5000 : 8);
    all.push_back(lease_from(*q));
    if (n % 3 == 0) {  // keep chunks for later ones
      REQUIRE(q->ack(2, all.back()).has_value());
      all.pop_back();
      continue;
    }
    if (all.back().entry == lease_token::in_slot && all.size() > 20 && all[all.size() - 20].entry == lease_token::in_slot) break;
  }
  REQUIRE(all.back().entry == lease_token::in_slot);
  const auto inside = all.back();
  REQUIRE(q->unfinished());
  REQUIRE(q->ack(3, inside) == errc::invalid);
  REQUIRE(q->give_back(2, inside).has_value());
  REQUIRE(q->ack(2, inside) == errc::invalid);
  {
    auto t = q->take(3, deadline::passed());
    REQUIRE(number_of(*t) == n);
    REQUIRE(t->redeliveries() == 1);
    t->deliver();
  }
  all.pop_back();
  q->close(1, close_mode::drain);
  REQUIRE(q->take(2, deadline::passed()) == errc::closed);       // all that is left is the caller's own
  REQUIRE(q->take(3, deadline::passed()) == errc::would_block);  // others wait: it may come back
  for (const auto& l : all) REQUIRE(q->ack(2, l).has_value());
  REQUIRE(q->take(3, deadline::passed()) == errc::closed);
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("slots: a message that was delivered too often is a dead letter, kept until somebody takes it") {
  auto q = make({.max_deliveries = 3});
  const std::size_t size = GENERATE(8, 100'000);
  put(*q, 1, size);
  put(*q, 2, size);
  for (int i = 0; i < 3; ++i) {
    REQUIRE(q->take_dead(5, deadline::passed()) == errc::would_block);
    const auto l = lease_from(*q);
    REQUIRE(l.redelivered == static_cast<unsigned>(i));
    REQUIRE(q->give_back(2, l).has_value());
  }
  REQUIRE(get(*q) == 2);
  REQUIRE(get(*q) == torn);
  REQUIRE(q->size() == 0);
  REQUIRE_FALSE(q->unfinished());  // dead letters do not hold up a join
  REQUIRE_FALSE(q->consumed(0));
  REQUIRE(q->stats().dead == 1);
  REQUIRE(leaks(*q, 1, chunk_pool::chunks_for(size < 305 ? 0 : size)) == "");
  {
    auto t = q->take_dead(5, deadline::passed());
    REQUIRE(number_of(*t) == 1);
    REQUIRE(t->redeliveries() == 3);
    REQUIRE(t->lease() == errc::invalid);
    REQUIRE(q->take_dead(6, deadline::passed()) == errc::would_block);
  }  // dropped: still there
  q->close(1, close_mode::drain);
  auto t = q->take_dead(6, deadline::passed());
  REQUIRE(number_of(*t) == 1);
  t->deliver();
  REQUIRE(q->consumed(0));
  REQUIRE(q->take_dead(6, deadline::never()) == errc::closed);
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("slots: dead letters pile up by the thousand without stopping the queue") {
  auto q = make({.max_items = 4, .max_deliveries = 1});
  for (std::uint64_t i = 0; i < 5000; ++i) {
    put(*q, i);
    REQUIRE(q->give_back(2, lease_from(*q)).has_value());
  }
  REQUIRE(q->stats().dead == 5000);
  for (std::uint64_t i = 0; i < 5000; ++i) {
    auto t = q->take_dead(2, deadline::passed());
    REQUIRE(number_of(*t) == i);
    t->deliver();
  }
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("slots: a join returns when everything put was acknowledged or delivered") {
  auto q = make();
  REQUIRE(q->wait_idle(deadline::passed()).has_value());
  put(*q, 1);
  put(*q, 2);
  REQUIRE(q->wait_idle(deadline::passed()) == errc::would_block);
  REQUIRE(q->wait_idle(1ms) == errc::timed_out);
  const auto l = lease_from(*q);
  REQUIRE(get(*q) == 2);
  REQUIRE(q->wait_idle(deadline::passed()) == errc::would_block);
  put(*q, 3);  // work made by work
  REQUIRE(q->ack(2, l).has_value());
  REQUIRE(q->wait_idle(deadline::passed()) == errc::would_block);
  REQUIRE(get(*q) == 3);
  REQUIRE(q->wait_idle(deadline::passed()).has_value());
}

TEST_CASE("slots: a sleeping join is woken by the last ack, whoever gives it") {
  auto q = make();
  for (std::uint64_t i = 0; i < 4; ++i) put(*q, i, i == 3 ? 50'000 : 8);
  std::vector<lease_token> held;
  for (int i = 0; i < 4; ++i) held.push_back(lease_from(*q));
  harness::child joiner([&] { return q->wait_idle(deadline::never()).has_value(); });
  for (const auto& l : held) {
    REQUIRE(harness::eventually([&] { return harness::asleep(joiner.pid()); }));
    REQUIRE(q->ack(2, l).has_value());
  }
  REQUIRE(joiner.wait().success());
}

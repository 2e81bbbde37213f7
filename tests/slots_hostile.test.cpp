// SPDX-License-Identifier: BSD-3-Clause
// Shared memory that holds what no correct process writes: errors for the users of this one queue, nothing worse.
#include "slots_crash.hpp"

#include <random>
#include <thread>

using namespace slots_test;

namespace {

std::atomic<std::uint64_t>& word_of(slots& q, std::uint64_t at) { return q.layout().slot({0, at}).word; }

}  // namespace

TEST_CASE("slots: impossible words, lengths and chunks break the queue, once and for all, with an error that says so") {
  auto q = make();
  fill(*q, 1, 3, 20'000);
  SECTION("an unknown state") { word_of(*q, 0) = slot_word::make(0, static_cast<slot_state>(9)).raw; }
  SECTION("a lap of the future, behind") {
    word_of(*q, 1) = slot_word::make(slot_word::lap_mask - 3, slot_state::ready).raw;
    get(*q);
  }
  SECTION("a length that is not the one written") { q->layout().slot({0, 0}).length = 7; }
  SECTION("a length and its check, beyond all memory") {
    auto& s = q->layout().slot({0, 0});
    s.length = 0xfffffff0;
    s.check = length_check(0xfffffff0, 0);
  }
  SECTION("a chunk that does not exist") {
    const std::uint32_t far = 0x7fffffff;
    std::memcpy(q->layout().slot({0, 0}).bytes(), &far, sizeof far);
  }
  SECTION("a chunk of another message") {
    const std::uint32_t other = 6;
    std::memcpy(q->layout().slot({0, 0}).bytes(), &other, sizeof other);
  }
  SECTION("a chain that runs in circles to another's") { q->layout().chunk(2).next = 9; }
  REQUIRE(q->take(2, deadline::passed()) == errc::broken);
  REQUIRE(q->take(2, deadline::never()).error().text() ==
          "queue 'tasks' get: broken: its shared memory holds what no correct process writes");
  REQUIRE(q->put(2, message(1), deadline::never()) == errc::broken);
  REQUIRE(q->put(2, message(1, 20'000), deadline::never()) == errc::broken);
  REQUIRE(q->wait_idle(deadline::never()) == errc::broken);
  REQUIRE(q->take_dead(2, deadline::never()) == errc::broken);
}

TEST_CASE("slots: a queue that breaks wakes everybody who sleeps on it") {
  auto q = make({.max_items = 2});
  harness::child reader([&] { return q->take(2, deadline::never()) == errc::broken; });
  harness::child joiner_of_nothing([&] { return q->take_dead(3, deadline::never()) == errc::broken; });
  auto full = make({.max_items = 1});
  put(*full, 1);
  harness::child writer([&] { return full->put(2, message(2), deadline::never()) == errc::broken; });
  harness::child joiner([&] { return full->wait_idle(deadline::never()) == errc::broken; });
  for (const auto* c : {&reader, &joiner_of_nothing, &writer, &joiner})
    REQUIRE(harness::eventually([&] { return harness::asleep(c->pid()); }));
  word_of(*q, 0) = slot_word::make(0, static_cast<slot_state>(9)).raw;
  word_of(*full, 0) = slot_word::make(0, static_cast<slot_state>(9)).raw;
  REQUIRE(q->take(5, deadline::passed()) == errc::broken);
  REQUIRE(full->take(5, deadline::passed()) == errc::broken);
  for (auto* c : {&reader, &joiner_of_nothing, &writer, &joiner}) REQUIRE(c->wait().success());
}

TEST_CASE("slots: the check for lies that no single word shows finds them") {
  auto q = make();
  fill(*q, 1, 10);
  REQUIRE(lies(*q) == "");
  auto& s = q->layout().shared();
  SECTION("both hints moved far ahead") {
    s.ring[0].head = 1 << 20;
    s.ring[0].tail = 1 << 20;
  }
  SECTION("a tail far ahead of all slots") { s.ring[0].tail = 1 << 30; }
  SECTION("rings that were never reserved") { s.put_ring = 5; }
  SECTION("a free slot with an owner") { word_of(*q, 20) = slot_word::make(0, slot_state::free, 0, 5).raw; }
  SECTION("a taken slot without") { word_of(*q, 3) = slot_word::make(0, slot_state::taken).raw; }
  SECTION("chunks without end") { s.chunk_top = 0xffffffff; }
  REQUIRE(lies(*q) != "");
}

TEST_CASE("slots: random words flipped under working users give errors, never a crash", "[deadline:120]") {
  for (unsigned seed = 1; seed <= 40U / harness::slowdown; ++seed) {
    auto q = make({.max_items = 50});
    auto unharmed = make({.max_items = 50});
    harness::child hostile([&] {
      std::mt19937_64 random(seed);
      auto* words = reinterpret_cast<std::atomic<std::uint64_t>*>(q->layout().mapping().data());
      const auto n = q->layout().geometry().leases_at / 8;
      for (int i = 0; i < 20'000; ++i) words[32 + random() % (i % 2 ? n - 32 : 200)].fetch_xor(std::uint64_t{1} << random() % 64);
    });
    const auto use = [&](slots& x, actor_id me, bool correct) {
      for (std::uint64_t i = 0; i < 3000; ++i) {
        const auto r = x.put(me, message(i, i % 50 == 0 ? 9000 : 30), 1ms);
        if (correct && !r && r != errc::timed_out) return false;
        auto t = x.take(me, 1ms);
        if (t) {
          if (number_of(*t) == torn && correct) return false;
          t->deliver();
        }
        if (!correct && (r == errc::broken || t == errc::broken)) return true;
      }
      return true;
    };
    harness::child one([&] { return use(*q, 1, false); });
    harness::child two([&] { return use(*q, 2, false); });
    harness::child other([&] { return use(*unharmed, 3, true); });
    REQUIRE(hostile.wait().success());
    REQUIRE(one.wait().success());
    REQUIRE(two.wait().success());
    REQUIRE(other.wait().success());
  }
}

// SPDX-License-Identifier: BSD-3-Clause
// The supervisor actor of synchronisation by itself, without processes: what it makes of memory and letters that no sound process writes,
// and what it must not leave to its next look.
#include "sync_support.hpp"

#include <cloister/actors/internal/sync_actor.hpp>
#include <cloister/actors/internal/turn_queue.hpp>
#include <cloister/detail/event_count.hpp>

#include <atomic>
#include <cstring>
#include <thread>

#include <unistd.h>

using namespace cloister;
using namespace support;

TEST_CASE("the actor refuses whoever asks for an object whose head says what cannot be") {
  using namespace cloister::internal;
  living_actors living;
  sync_actor actor{service_host{living, [](std::vector<std::byte>) {}, [](std::uint32_t) { return past_process(); }}};
  const auto home = detail::arena::create(1, detail::arena::small_body).value();
  const auto cells = detail::cell_block::create(1).value();
  using detail::sync_kind;
  const auto too_large_for_its_place = static_cast<std::uint32_t>(sync_kind::semaphore);
  const auto of_nobody = static_cast<std::uint32_t>(sync_kind::barrier);  // its parties are none
  std::uint64_t id = 0;
  for (const std::uint32_t kind : {too_large_for_its_place, of_nobody, 0U, 77U}) {
    INFO("kind " << kind);
    const auto place = home->allocate({++id, kind, 0, 0, "wrong"}, nullptr).value().value();
    actor.created({id, home, place});
    auto& cell = cells->cell(0);
    cell.word = detail::wait_cell::make(static_cast<std::uint32_t>(id), detail::cell_state::waiting);
    actor.asked({{{2, 2, "asks"}, 2},
                 id,
                 static_cast<std::uint32_t>(sync_call::want),
                 {cells, &cell, static_cast<std::uint32_t>(id)},
                 {},
                 0});
    CHECK(cell.state(static_cast<std::uint32_t>(id)) == detail::cell_state::refused);
    CHECK(cell.value == static_cast<std::uint64_t>(errc::broken));
  }
}

TEST_CASE("a wait that takes another's cell ends that one: nothing is remembered of it when the lock is gone") {
  using namespace cloister::internal;
  living_actors living;
  living.set(2).set(3);
  bool reported = false;
  sync_actor actor{
      service_host{living, [&](std::vector<std::byte>) { reported = true; }, [](std::uint32_t) { return past_process(); }}};
  const auto home = detail::arena::create(1, detail::arena::small_body).value();
  const auto cells = detail::cell_block::create(1).value();
  const auto make = [&](std::uint64_t id, std::uint16_t owner) {
    const auto place =
        home->allocate({id, static_cast<std::uint32_t>(detail::sync_kind::mutex), 0, 0, "m"}, nullptr).value().value();
    reinterpret_cast<lock_body*>(home->body(place))->word = lock_word().with_owner(owner, 1).raw;
    actor.created({id, home, place});
  };
  const auto want = [&](std::uint16_t who, std::uint64_t id, unsigned n, std::uint32_t ticket, std::uint64_t a) {
    auto& cell = cells->cell(n);
    cell.word = detail::wait_cell::make(ticket, detail::cell_state::waiting);
    actor.asked({{{who, who, "asks"}, who}, id, static_cast<std::uint32_t>(sync_call::want), {cells, &cell, ticket}, {}, a});
  };
  make(1, 3);
  make(2, 2);
  want(2, 1, 0, 1, 1 | waits_for_ever);
  want(2, 1, 0, 2, 2);  // says that it is another thread
  actor.removed(1);
  want(3, 2, 1, 1, 1 | waits_for_ever);
  CHECK(cells->cell(1).state(1) == detail::cell_state::waiting);
  CHECK_FALSE(reported);
}

TEST_CASE("a setter's death wakes whom it did not wake any more, at once") {
  using namespace cloister::internal;
  living_actors living;
  sync_actor actor{service_host{living, [](std::vector<std::byte>) {}, [](std::uint32_t) { return past_process(); }}};
  const auto home = detail::arena::create(1, detail::arena::small_body).value();
  const auto place = home->allocate({1, static_cast<std::uint32_t>(detail::sync_kind::event), 0, 0, "e"}, nullptr).value().value();
  actor.created({1, home, place});
  auto& body = *reinterpret_cast<event_body*>(home->body(place));
  std::atomic<pid_t> sleeper{0};
  std::thread waits([&] {
    sleeper = ::gettid();
    static_cast<void>(body.sleepers.wait([&] { return event_word{body.word.load()}.is_set(); }, deadline::never()));
  });
  REQUIRE(harness::eventually([&] { return sleeper != 0 && harness::asleep(sleeper); }, 20s));
  body.word = event_word().set().raw;
  const lost_object lost{1};
  actor.died({{7, 7, "dead"}, 7}, exit_status::signaled(9), {&lost, 1});
  waits.join();
}

TEST_CASE("a turn comes a millisecond after one became the first, however the one before it went") {
  using namespace cloister::internal;
  turn_queue queue;
  const auto waiter = [](std::uint16_t actor) { return sync_waiter{{{actor, actor, ""}, actor}, {}, 0}; };
  queue.push(waiter(1), 0);
  queue.push(waiter(2), 0);
  CHECK_FALSE(queue.has_turn(barging_ns - 1));
  CHECK(queue.has_turn(barging_ns));
  CHECK(queue.next_look(0) == barging_ns);
  queue.erase_if([](const sync_waiter& w) { return w.who.actor == 1; }, 5 * barging_ns);
  CHECK(queue.front().who.actor == 2);
  CHECK_FALSE(queue.has_turn(6 * barging_ns - 1));
  CHECK(queue.has_turn(6 * barging_ns));
  queue.push(waiter(3), 6 * barging_ns);
  queue.erase_if([](const sync_waiter& w) { return w.who.actor == 3; }, 6 * barging_ns);
  CHECK(queue.has_turn(6 * barging_ns));  // the first is the same
  queue.pop(7 * barging_ns);
  CHECK(queue.next_look(0) == never_again);
}

TEST_CASE("memory that is lent as cells has the size of a block, or is refused") {
  auto larger = detail::memory::create("cells", 2 * detail::cell_block::bytes, 2 * detail::cell_block::bytes).value();
  const auto header = detail::object_header::make(detail::object_kind::cells, 1, {}, larger.size(), "cells");
  std::memcpy(larger.data(), &header, sizeof header);
  CHECK(detail::cell_block::attach(std::move(larger)) == errc::broken);
}

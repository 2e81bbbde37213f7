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

namespace {

using namespace cloister::internal;

struct alone {
  /// The body of a new object.
  template <class Body>
  Body& make(std::uint64_t id, std::uint32_t kind) {
    const auto place = home->allocate({id, kind, 0, 0, "it"}, nullptr).value().value();
    auto& body = *reinterpret_cast<Body*>(home->body(place));
    actor.created({id, home, place});
    return body;
  }
  /// A thread of `who` waits in cell `n`.
  void want(std::uint16_t who, std::uint64_t id, unsigned n, std::uint32_t ticket, std::uint64_t a = 0) {
    auto& cell = cells->cell(n);
    cell.word = detail::wait_cell::make(ticket, detail::cell_state::waiting);
    actor.asked({{{who, who, "asks"}, who}, id, static_cast<std::uint32_t>(sync_call::want), {cells, &cell, ticket}, {}, a});
  }
  living_actors living;
  bool reported = false;
  sync_actor actor{
      service_host{living, [this](std::vector<std::byte>) { reported = true; }, [](std::uint32_t) { return past_process(); }}};
  const std::shared_ptr<detail::arena> home = detail::arena::create(1, detail::arena::small_body).value();
  const std::shared_ptr<detail::cell_block> cells = detail::cell_block::create(1).value();
};

std::uint32_t kind_of(detail::sync_kind kind) { return static_cast<std::uint32_t>(kind); }

}  // namespace

TEST_CASE("the actor refuses whoever asks for an object whose head says what cannot be") {
  alone sync;
  const auto too_large_for_its_place = kind_of(detail::sync_kind::semaphore);
  const auto of_nobody = kind_of(detail::sync_kind::barrier);  // its parties are none
  std::uint32_t id = 0;
  for (const std::uint32_t kind : {too_large_for_its_place, of_nobody, 0U, 77U}) {
    INFO("kind " << kind);
    static_cast<void>(sync.make<std::byte>(++id, kind));
    sync.want(2, id, 0, id);
    CHECK(sync.cells->cell(0).state(id) == detail::cell_state::refused);
    CHECK(sync.cells->cell(0).value == static_cast<std::uint64_t>(errc::broken));
  }
}

TEST_CASE("a wait that takes another's cell ends that one: nothing is remembered of it when the lock is gone") {
  alone sync;
  sync.living.set(2).set(3);
  sync.make<lock_body>(1, kind_of(detail::sync_kind::mutex)).word = lock_word().with_owner(3, 1).raw;
  sync.make<lock_body>(2, kind_of(detail::sync_kind::mutex)).word = lock_word().with_owner(2, 1).raw;
  sync.want(2, 1, 0, 1, 1 | waits_for_ever);
  sync.want(2, 1, 0, 2, 2);  // says that it is another thread
  sync.actor.removed(1);
  sync.want(3, 2, 1, 1, 1 | waits_for_ever);
  CHECK(sync.cells->cell(1).state(1) == detail::cell_state::waiting);
  CHECK_FALSE(sync.reported);
}

TEST_CASE("a setter's death wakes whom it did not wake any more, at once") {
  alone sync;
  auto& body = sync.make<event_body>(1, kind_of(detail::sync_kind::event));
  std::atomic<pid_t> sleeper{0};
  std::thread waits([&] {
    sleeper = ::gettid();
    static_cast<void>(body.sleepers.wait([&] { return event_word{body.word.load()}.is_set(); }, deadline::never()));
  });
  REQUIRE(harness::eventually([&] { return sleeper != 0 && harness::asleep(sleeper); }, 20s));
  body.word = event_word().set().raw;
  const lost_object lost{1};
  sync.actor.died({{7, 7, "dead"}, 7}, exit_status::signaled(9), {&lost, 1});
  waits.join();
}

TEST_CASE("a turn comes a millisecond after one became the first, however the one before it went") {
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

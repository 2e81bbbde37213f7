// SPDX-License-Identifier: BSD-3-Clause
// A pipe's bytes without deaths: order, sizes, waiting, growth, ends, and what an attaching process refuses.
#include "ring_messages.hpp"

#include <sys/mman.h>
#include <unistd.h>
#include <csignal>
#include <deque>
#include <random>
#include <thread>

using namespace cloister;
using namespace cloister::detail;
using namespace ring_messages;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {
constexpr std::size_t kib = 1024, mib = 1024 * kib;
}

TEST_CASE("a pipe behaves like two queues of messages", "[deadline:120]") {
  const std::size_t max_bytes = GENERATE(16 * kib, 100'000UL, 300 * kib, 5 * mib, 80 * mib);
  const unsigned seed = GENERATE(range(0U, 6U));
  std::mt19937 random(seed);
  const auto pipe = make(max_bytes);
  const auto other = attach(*pipe);
  struct expected {
    std::uint64_t number;
    std::size_t size;
    std::uint64_t position;
  };
  std::array<std::deque<expected>, 2> model;
  std::array<std::size_t, 2> unread{};
  std::array<std::uint64_t, 2> last{};
  std::uint64_t number = 0;
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n)(random); };
  std::size_t moved = 0;
  while (moved < 40 * mib / static_cast<std::size_t>(harness::slowdown) && number < 60'000) {
    const auto d = static_cast<unsigned>(below(1));
    // End A lives in the first mapping, end B in the second.
    ring& writer = d == 0 ? *pipe : *other;
    ring& reader = d == 0 ? *other : *pipe;
    const bool fills = (number / 500) % 2 == 0;  // sometimes mostly full, sometimes mostly empty
    if (below(99) < (fills ? 70 : 35)) {
      const std::size_t most = below(20) == 0 ? max_bytes - 8 : below(5) == 0 ? 10 * kib : 200;
      const std::size_t size = std::min(max_bytes - 8, below(most));
      const auto r = put(writer, d, number, size);
      if (unread[d] + record_bytes(size) <= max_bytes / 4) REQUIRE(r);  // must never refuse this
      if (!r) {
        REQUIRE(r == errc::would_block);
        REQUIRE(unread[d] != 0);
        continue;
      }
      REQUIRE(*r > last[d]);
      last[d] = *r;
      REQUIRE(reader.tail_position(d) == *r);
      model[d].push_back({number++, size, *r});
      unread[d] += record_bytes(size);
      REQUIRE(unread[d] <= max_bytes);
      moved += size;
    } else if (model[d].empty()) {
      REQUIRE(reader.poll(d, deadline::passed()).value() == false);
      REQUIRE(get(reader, d) == errc::would_block);
    } else {
      const auto e = model[d].front();
      model[d].pop_front();
      REQUIRE(reader.poll(d, deadline::passed()).value());
      const auto m = reader.peek(d, deadline::passed()).value();
      REQUIRE((m.size() == e.size && m.position == e.position));
      REQUIRE_FALSE(writer.consumed(d, e.position));
      REQUIRE(arrives(reader, d, message(e.number, e.size)));
      REQUIRE(writer.consumed(d, e.position));
      unread[d] -= record_bytes(e.size);
    }
    REQUIRE(writer.unread(d) == unread[d]);
  }
}

TEST_CASE("messages of every size around the borders arrive whole, the empty one included") {
  const auto pipe = make(mib);
  std::vector<std::size_t> sizes;
  for (const std::size_t border : {0UL, 8UL, 64UL, 4088UL, 4096UL, 16376UL, 16384UL, 65528UL, 262'136UL, 262'144UL})
    for (std::size_t size = border < 9 ? 0 : border - 9; size <= border + 9; ++size) sizes.push_back(size);
  sizes.push_back(mib - 8);
  for (const auto size : sizes) {
    INFO(size);
    REQUIRE(put(*pipe, 0, size, size));
    REQUIRE(pipe->poll(0, deadline::passed()).value());
    REQUIRE(pipe->poll(0, deadline::passed()).value());  // an empty message counts as data, repeatedly
    REQUIRE(arrives(*pipe, 0, message(size, size)));
    REQUIRE_FALSE(pipe->poll(0, deadline::passed()).value());
  }
  CHECK(put(*pipe, 0, 1, mib - 7) == errc::too_large);
  CHECK_THAT(put(*pipe, 0, 1, mib).error().text(), Contains("pipe 'p' send") && Contains("1048568"));
  CHECK(put(*pipe, 0, 1, 10));  // nothing happened to it
}

TEST_CASE("a read waits until its deadline, a poll too, and neither takes anything") {
  const auto pipe = make();
  const auto took = [](auto f) {
    const auto began = deadline::now();
    f();
    return deadline::now() - began;
  };
  CHECK(took([&] { CHECK(pipe->peek(0, 30ms) == errc::timed_out); }) >= 30'000'000);
  CHECK(took([&] { CHECK(pipe->poll(0, 30ms).value() == false); }) >= 30'000'000);
  CHECK(took([&] { CHECK(pipe->peek(0, deadline::passed()) == errc::would_block); }) < 20'000'000);
  REQUIRE(put(*pipe, 0, 1, 10));
  CHECK(took([&] { CHECK(pipe->poll(0, 10s).value() == true); }) < 5'000'000'000);
  CHECK(arrives(*pipe, 0, message(1, 10)));
}

TEST_CASE("a full pipe refuses a try, times out, and lets a waiting put through as soon as there is room") {
  const auto pipe = make(64 * kib);
  std::uint64_t in = 0;
  while (put(*pipe, 0, in, 1000)) ++in;
  CHECK(in >= 60);
  CHECK(put(*pipe, 0, 0, 1000) == errc::would_block);
  CHECK(put(*pipe, 0, 0, 1000, 5ms) == errc::timed_out);
  harness::child reader([&] {
    for (std::uint64_t i = 0; i < in + 100; ++i)
      if (get(*pipe, 0, deadline::never()).value() != message(i, 1000)) return false;
    return true;
  });
  for (std::uint64_t i = 0; i < 100; ++i) REQUIRE(put(*pipe, 0, in + i, 1000, deadline::never()));
  CHECK(reader.wait() == exit_status::exited(0));
}

TEST_CASE("promise 13: what nobody reads yet does not hold up the writer, and all of it is there later", "[deadline:120]") {
  const auto pipe = make();
  const std::size_t size = GENERATE(100UL, 10 * kib, mib);
  const std::uint64_t count = 100 * mib / (size + 8) / static_cast<std::size_t>(harness::slowdown);
  const auto before = bytes_held(*pipe);
  CHECK(before <= 64 * kib);
  harness::child writer([&] {
    pipe->take_over(0);
    for (std::uint64_t i = 0; i < count; ++i) REQUIRE(put(*pipe, 0, i, size, deadline::never()));
  });
  CHECK(writer.wait() == exit_status::exited(0));  // joined first
  for (std::uint64_t i = 0; i < count; ++i) REQUIRE(arrives(*pipe, 0, message(i, size)));
  for (int i = 0; i < 10; ++i) CHECK(pipe->poll(0, 3ms).value() == false);  // idle for long enough in all: memory goes back
  CHECK(bytes_held(*pipe) == before);
}

TEST_CASE("a busy pipe with a reader that gets on stays small") {
  const auto pipe = make();
  harness::child writer([&] {
    for (std::uint64_t i = 0; i < 200'000; ++i) REQUIRE(put(*pipe, 0, i, 64, deadline::never()));
  });
  for (std::uint64_t i = 0; i < 200'000; ++i) REQUIRE(arrives(*pipe, 0, message(i, 64), deadline::never()));
  if (!harness::sanitized) CHECK(bytes_held(*pipe) <= mib);  // there, a side may be off its CPU for long
}

TEST_CASE("a reader drains a closed or dead writer's messages and then hears it, a writer hears it at once") {
  const auto pipe = make();
  const bool dead = GENERATE(false, true);
  const errc expected = dead ? errc::peer_down : errc::closed;
  REQUIRE(put(*pipe, 0, 1, 10));
  REQUIRE(put(*pipe, 0, 2, 10));
  REQUIRE(put(*pipe, 1, 3, 10));
  if (dead) pipe->set_end_state(0, end_state::dead, exit_status::signaled(SIGKILL));
  else pipe->set_end_state(0, end_state::closed);
  CHECK(arrives(*pipe, 0, message(1, 10)));
  CHECK(arrives(*pipe, 0, message(2, 10)));
  CHECK(pipe->poll(0, 10s).value());  // the end of the stream is something to read
  const auto end = get(*pipe, 0, 10s);
  CHECK(end == expected);
  CHECK(put(*pipe, 1, 4, 10) == expected);
  if (dead) {
    REQUIRE(end.error().exit() != nullptr);
    CHECK(*end.error().exit() == exit_status::signaled(SIGKILL));
    CHECK_THAT(end.error().text(), Contains("pipe 'p' recv") && Contains("SIGKILL"));
    pipe->set_end_state(0, end_state::open);  // a restarted process takes the end over
    pipe->take_over(0);
    REQUIRE(put(*pipe, 0, 5, 10));
    CHECK(arrives(*pipe, 0, message(5, 10)));
    CHECK(arrives(*pipe, 1, message(3, 10)));
    CHECK(get(*pipe, 1) == errc::would_block);
  } else {
    CHECK(get(*pipe, 1) == errc::closed);  // by whoever has closed this end itself
    CHECK(put(*pipe, 0, 5, 10) == errc::closed);
  }
}

TEST_CASE("the ends of exits travel: code, signal, exception, unknown") {
  const auto pipe = make();
  for (const auto& e : {exit_status::exited(3), exit_status::signaled(11), exit_status{}}) {
    pipe->set_end_state(1, end_state::dead, e);
    const auto r = get(*pipe, 1);
    REQUIRE(r == errc::peer_down);
    CHECK(*r.error().exit() == e);
  }
  pipe->set_end_state(1, end_state::dead, exit_status::threw("std::runtime_error", "no"));
  const auto threw = get(*pipe, 1);
  CHECK(threw.error().exit()->code() == 1);
}

TEST_CASE("a process that is to stop takes nothing more, and puts only while that needs no waiting") {
  const auto ended = harness::forked([] {
    const auto pipe = make(16 * kib);
    REQUIRE(put(*pipe, 0, 1, 10));
    request_stop(errc::stopping);
    REQUIRE(pipe->peek(0, 1s) == errc::stopping);
    REQUIRE(pipe->poll(0, 1s) == errc::stopping);
    while (put(*pipe, 0, 2, 100)) {}
    REQUIRE(put(*pipe, 0, 2, 100, 10s) == errc::stopping);
  });
  CHECK(ended == exit_status::exited(0));
}

TEST_CASE("two threads an end, one sending and one receiving, move everything", "[deadline:120]") {
  const auto pipe = make(4 * mib);
  const std::uint64_t count = 100'000 / static_cast<std::uint64_t>(harness::slowdown);
  const auto size = [](std::uint64_t i) { return i % 97 == 0 ? 30'000 + i % 5000 : i % 400; };
  std::atomic<bool> wrong{false};
  std::vector<std::thread> all;
  for (unsigned d = 0; d < 2; ++d) {
    all.emplace_back([&, d] {
      for (std::uint64_t i = 0; i < count; ++i)
        if (!put(*pipe, d, i, size(i), deadline::never())) wrong = true;
    });
    all.emplace_back([&, d] {
      for (std::uint64_t i = 0; i < count; ++i) {
        const auto m = get(*pipe, d, deadline::never());
        if (!m || *m != message(i, size(i))) wrong = true;
        if (i % 10'000 == 0) std::this_thread::sleep_for(3ms);  // so that the writer grows, and comes back
      }
    });
  }
  for (auto& t : all) t.join();
  CHECK_FALSE(wrong);
}

TEST_CASE("attaching refuses another kind, another size, a geometry that cannot be") {
  const auto with = [](auto change) {
    const auto pipe = make(mib);
    owned_fd fd(::fcntl(pipe->fd(), F_DUPFD_CLOEXEC, 0));
    auto m = memory::attach(fd.duplicate(), "pipe 'p'").value();
    change(m.data());
    return ring::attach(memory::attach(std::move(fd), "pipe 'p'").value());
  };
  CHECK(with([](std::byte*) {}).has_value());
  CHECK(with([](std::byte* b) { b[0] ^= std::byte{1}; }) == errc::wrong_type);
  CHECK(with([](std::byte* b) { b[12] = std::byte{2}; }) == errc::wrong_type);
  CHECK(with([](std::byte* b) { b[24] ^= std::byte{1}; }) == errc::broken);
  CHECK(with([](std::byte* b) { b[128 + 3] = std::byte{1}; }) == errc::broken);
  CHECK(with([](std::byte* b) { std::memset(b + 128, 0, 8); }) == errc::broken);
  CHECK(with([](std::byte* b) { std::memset(b + 128, 0xff, 8); }) == errc::broken);
}

TEST_CASE("an armed bell rings at the first message, and the look wakes a reader whose writer stopped before waking it") {
  const auto pipe = make();
  int rings = 0;
  pipe->set_ringers(0, {[](void* n) noexcept { ++*static_cast<int*>(n); }, &rings}, {});
  pipe->data(0).arm_bell();
  REQUIRE(put(*pipe, 0, 1, 10));
  REQUIRE(put(*pipe, 0, 2, 10));
  CHECK(rings == 1);
  pipe->look();
  CHECK(rings == 2);  // somebody may have stopped between disarming and ringing
  while (get(*pipe, 0)) {}
  pipe->look();
  CHECK(rings == 2);

  spin_budget::set_spinning(false);
  harness::child reader([&] { return get(*pipe, 0, deadline::never()).value() == message(7, 100); });
  REQUIRE(harness::eventually([&] { return harness::asleep(reader.pid()); }));
  harness::child writer([&] {
    inject_fault({"notify", 1, fault_action::stop});
    return put(*pipe, 0, 7, 100).has_value();
  });
  REQUIRE(writer.wait_stopped());
  CHECK(harness::asleep(reader.pid()));
  pipe->look();
  CHECK(reader.wait() == exit_status::exited(0));
  writer.signal(SIGCONT);
  CHECK(writer.wait() == exit_status::exited(0));
  spin_budget::set_spinning(true);
}

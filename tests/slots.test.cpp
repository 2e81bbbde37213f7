// SPDX-License-Identifier: BSD-3-Clause
// The queue below queue<T>, one thread at a time: what each call does and returns.
#include "slots_support.hpp"

#include <cloister/detail/stop.hpp>

#include <limits>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

using namespace slots_test;

TEST_CASE("slots: a message comes out as it went in, whatever its size") {
  auto q = make();
  for (const std::size_t size : {0, 1, 8, 47, 48, 49, 300, 304, 305, 4095, 4096, 4097, 65536, 1 << 20, 5'000'001}) {
    INFO("size " << size);
    std::vector<std::byte> m = size < 8 ? std::vector<std::byte>(size, std::byte{42}) : message(size, size);
    const auto position = q->put(1, m, deadline::passed());
    REQUIRE(position.has_value());
    REQUIRE(q->size() == 1);
    auto t = q->take(2, deadline::passed());
    REQUIRE(t.has_value());
    REQUIRE(t->size() == size);
    REQUIRE(t->position() == *position);
    REQUIRE(t->redeliveries() == 0);
    std::vector<std::byte> got(size);
    t->copy_to(got);
    REQUIRE(got == m);
    if (const auto v = t->view(); !v.empty()) REQUIRE(std::equal(v.begin(), v.end(), m.begin(), m.end()));
    t->deliver();
    REQUIRE(q->empty());
  }
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("slots: messages come out in the order in which they were put, also while the queue grows") {
  auto q = make();
  for (std::uint64_t i = 0; i < 20'000; ++i) put(*q, i, i % 7 == 0 ? 400 : 8);
  REQUIRE(q->size() == 20'000);
  for (std::uint64_t i = 0; i < 20'000; ++i) REQUIRE(get(*q) == i);
  REQUIRE(get(*q) == torn);
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("slots: a queue of n items takes n and no more, for every small n") {
  for (const std::uint64_t n : {1, 2, 3, 4, 5, 7, 8, 31, 100, 1000, 3000}) {
    INFO("max_items " << n);
    auto q = make({.max_items = n});
    for (int round = 0; round < 3; ++round) {
      for (std::uint64_t i = 0; i < n; ++i) {
        REQUIRE_FALSE(q->full());
        put(*q, i);
      }
      REQUIRE(q->full());
      REQUIRE(q->put(1, message(0), deadline::passed()) == errc::would_block);
      REQUIRE(q->put(1, message(0), 1ms) == errc::timed_out);
      REQUIRE(q->size() == n);
      REQUIRE(get(*q) == 0);
      put(*q, n);
      REQUIRE(q->full());
      for (std::uint64_t i = 1; i <= n; ++i) REQUIRE(get(*q) == i);
      REQUIRE(q->empty());
    }
    REQUIRE(leaks(*q) == "");
  }
}

TEST_CASE("slots: a queue that only memory bounds is full exactly when a put would wait") {
  auto q = make({.max_bytes = 64 * 1024});
  std::uint64_t n = 0;
  for (; !q->full(); ++n) put(*q, n);
  REQUIRE(n > 100);
  REQUIRE(q->put(1, message(n), deadline::passed()) == errc::would_block);
  REQUIRE(get(*q) == 0);
  for (std::uint64_t i = 1; i < n; ++i) REQUIRE(get(*q) == i);
  REQUIRE_FALSE(q->full());
  put(*q, 1);
}

TEST_CASE("slots: get on an empty queue says so at once, or after its deadline") {
  auto q = make();
  REQUIRE(q->take(2, deadline::passed()) == errc::would_block);
  const auto began = deadline::now();
  REQUIRE(q->take(2, 20ms) == errc::timed_out);
  REQUIRE(deadline::now() - began >= 20'000'000);
  REQUIRE(q->take(2, 1ms).error().text() == "queue 'tasks' get: timed out");
}

TEST_CASE("slots: a message that is taken is there for nobody else, and comes back when it is given back") {
  auto q = make();
  put(*q, 1);
  put(*q, 2, 100'000);
  {
    auto one = q->take(2, deadline::passed());
    auto two = q->take(2, deadline::passed());
    REQUIRE(number_of(*one) == 1);
    REQUIRE(number_of(*two) == 2);
    REQUIRE(q->take(3, deadline::passed()) == errc::would_block);
    REQUIRE(q->size() == 0);
    REQUIRE(q->unfinished());
    one->give_back();
    auto again = q->take(3, deadline::passed());
    REQUIRE(number_of(*again) == 1);
    REQUIRE(again->redeliveries() == 0);
    again->deliver();
  }  // two drops out of scope: back
  REQUIRE(q->size() == 1);
  REQUIRE(get(*q) == 2);
  REQUIRE_FALSE(q->unfinished());
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("slots: batches keep order, stop at the room there is, and mix small with large") {
  auto q = make({.max_items = 10});
  std::vector<std::vector<std::byte>> all;
  for (std::uint64_t i = 0; i < 15; ++i) all.push_back(message(i, i % 4 == 3 ? 20'000 : 16));
  std::vector<std::span<const std::byte>> spans(all.begin(), all.end());
  REQUIRE(q->put_many(1, spans, deadline::passed()).value() == 10);
  REQUIRE(q->put_many(1, spans, deadline::passed()) == errc::would_block);
  auto got = q->take_many(2, 4, deadline::passed());
  REQUIRE(got->size() == 4);
  for (std::uint64_t i = 0; i < 4; ++i) REQUIRE(number_of((*got)[i]) == i);
  q->deliver_many(*got);
  REQUIRE(q->size() == 6);
  REQUIRE(q->put_many(1, std::span(spans).subspan(10), deadline::passed()).value() == 4);
  for (std::uint64_t i = 4; i < 14; ++i) REQUIRE(get(*q) == i);
  REQUIRE(q->take_many(2, 4, deadline::passed()) == errc::would_block);
  put(*q, 1);
  put(*q, 2);
  got = q->take_many(2, std::numeric_limits<std::size_t>::max(), deadline::passed());
  REQUIRE(got->size() == 2);
  q->deliver_many(*got);
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("slots: after a draining close puts fail at once, gets when nothing is left") {
  auto q = make();
  put(*q, 1);
  put(*q, 2);
  q->close(1, close_mode::drain);
  q->close(1, close_mode::drain);
  REQUIRE(q->closed());
  REQUIRE(q->put(1, message(3), deadline::never()) == errc::closed);
  REQUIRE(q->put(1, message(3, 100'000), deadline::never()) == errc::closed);
  REQUIRE(q->put(1, message(3), deadline::never()).error().text() == "queue 'tasks' put: closed");
  REQUIRE(get(*q) == 1);
  {
    auto two = q->take(2, deadline::passed());
    REQUIRE(q->take(3, deadline::passed()) == errc::would_block);  // it may come back
    two->give_back();
  }
  REQUIRE(get(*q, 3) == 2);
  REQUIRE(q->take(2, deadline::never()) == errc::closed);
  REQUIRE(q->take_many(2, 3, deadline::never()) == errc::closed);
}

TEST_CASE("slots: what is given back after a close(now) is thrown away at once") {
  auto q = make();
  put(*q, 1, 10'000);
  put(*q, 2);
  auto large = q->take(2, deadline::passed()), small = q->take(2, deadline::passed());
  q->close(1, close_mode::now);
  large->give_back();
  small->give_back();
  REQUIRE(q->size() == 0);
  REQUIRE_FALSE(q->unfinished());
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("slots: closing now throws away what was not taken") {
  auto q = make();
  for (std::uint64_t i = 0; i < 3000; ++i) put(*q, i, i % 100 == 0 ? 10'000 : 8);
  auto held = q->take(2, deadline::passed());
  auto lease = q->take(2, deadline::passed())->lease();
  q->close(1, close_mode::now);
  REQUIRE(q->take(2, deadline::never()) == errc::closed);
  REQUIRE(q->put(1, message(3), deadline::never()) == errc::closed);
  held->deliver();
  REQUIRE(q->unfinished());
  REQUIRE(q->give_back(2, *lease).has_value());  // to nobody
  REQUIRE(q->wait_idle(deadline::passed()).has_value());
  REQUIRE(q->size() == 0);
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("slots: it is known beforehand whether a take would wait") {
  auto q = make();
  REQUIRE_FALSE(q->would_return(2));
  put(*q, 1);
  REQUIRE(q->would_return(2));
  const auto lease = q->take(2, deadline::passed())->lease().value();
  REQUIRE_FALSE(q->would_return(2));
  SECTION("closed and drained but for a lease: its holder is told the end, others wait for it") {
    q->close(1, close_mode::drain);
    REQUIRE(q->would_return(2));
    REQUIRE_FALSE(q->would_return(3));
    REQUIRE(q->ack(2, lease).has_value());
    REQUIRE(q->would_return(3));
  }
  SECTION("closed now, whoever holds what") {
    q->close(1, close_mode::now);
    REQUIRE(q->would_return(3));
  }
  SECTION("broken") {
    q->layout().shared().status = status_broken;
    REQUIRE(q->would_return(3));
  }
  SECTION("about to be found broken") {
    q->layout().slot({0, 1}).word = slot_word::make(0, static_cast<slot_state>(9)).raw;
    REQUIRE(q->would_return(3));
    REQUIRE(q->take(3, deadline::passed()) == errc::broken);
  }
}

TEST_CASE("slots: a message larger than max_bytes is refused, one as large fits") {
  auto q = make({.max_bytes = 1 << 20});
  REQUIRE(q->put(1, message(1, (1 << 20) + 1), deadline::never()) == errc::too_large);
  put(*q, 1, 1 << 20);
  REQUIRE(q->put(1, message(2, 5000), deadline::passed()) == errc::would_block);  // no chunk left
  put(*q, 2, 300);
  REQUIRE(get(*q) == 1);
  put(*q, 3, 5000);
  REQUIRE(get(*q) == 2);
  REQUIRE(get(*q) == 3);
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("slots: a message of 4 GiB and more is refused, however much the queue may hold") {
  REQUIRE(slots_geometry::plan(0, 0, std::uint64_t{1} << 40, 0).largest_message() == 0xffffffff);
  auto q = make({.max_bytes = std::uint64_t{8} << 30});
  const std::size_t size = (std::size_t{4} << 30) + 5;
  void* const memory = ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  REQUIRE(q->put(1, std::span(static_cast<const std::byte*>(memory), size), deadline::passed()) == errc::too_large);
  ::munmap(memory, size);
}

TEST_CASE("slots: a default queue holds a message of 100 MB, and little memory until then") {
  auto q = make();
  const auto s = q->stats();
  REQUIRE(slots_geometry::rings_at + s.ring_bytes + s.lease_bytes + s.chunk_bytes <= 256 * 1024);
  std::vector<std::byte> big(100'000'000);
  big.front() = std::byte{1};
  big.back() = std::byte{2};
  REQUIRE(q->put(1, big, deadline::passed()).has_value());
  auto t = q->take(2, deadline::passed());
  REQUIRE(t->size() == big.size());
  std::vector<std::byte> got(big.size());
  t->copy_to(got);
  REQUIRE(got == big);
  t->deliver();
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("slots: memory that large messages needed is given back when the queue has been empty for a while") {
  auto q = make();
  for (std::uint64_t i = 0; i < 40; ++i) put(*q, i, 1 << 20);
  for (std::uint64_t i = 0; i < 40; ++i) REQUIRE(get(*q) == i);
  REQUIRE(q->stats().chunk_bytes >= 40u << 20);
  q->look();
  q->look();
  REQUIRE(q->stats().chunk_bytes <= 1 << 20);
  for (std::uint64_t i = 0; i < 40; ++i) put(*q, i, 1 << 20);  // and can be had again
  for (std::uint64_t i = 0; i < 40; ++i) REQUIRE(get(*q) == i);
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("slots: flat messages of every size lie in their slot up to 4 KiB") {
  for (const std::size_t size : {1, 48, 64, 100, 1024, 4096, 5000}) {
    INFO("size " << size);
    auto q = make({.message_size = size});
    const auto s = q->stats();
    REQUIRE(slots_geometry::rings_at + s.ring_bytes + s.lease_bytes <= 256 * 1024);
    for (std::uint64_t i = 0; i < 300; ++i) put(*q, i, std::max<std::size_t>(8, size));
    REQUIRE((q->stats().chunks_in_use == 0) == (size <= 4096));
    for (std::uint64_t i = 0; i < 300; ++i) REQUIRE(get(*q) == i);
    REQUIRE(leaks(*q) == "");
  }
}

TEST_CASE("slots: the geometry follows from its own numbers, whatever the size of a message") {
  for (std::size_t n = 0; n <= 5000; ++n) {
    INFO("message size " << n);
    const auto g = slots_geometry::plan(n, 0, 1 << 20, 0);
    REQUIRE(g.room <= slots_geometry::largest_room);
    REQUIRE(g == slots_geometry::plan(g.room, g.max_items, g.max_bytes, g.max_deliveries));
  }
}

TEST_CASE("slots: positions number the messages, and a position is consumed when nobody can read it any more") {
  auto q = make();
  std::vector<std::uint64_t> at;
  for (std::uint64_t i = 0; i < 3000; ++i) at.push_back(q->put(1, message(i), deadline::passed()).value());
  for (std::uint64_t i = 0; i < 3000; ++i) REQUIRE(at[i] == i);
  REQUIRE(q->next_position() == 3000);
  REQUIRE_FALSE(q->consumed(0));
  auto t = q->take(2, deadline::passed());
  REQUIRE_FALSE(q->consumed(0));
  t->deliver();
  REQUIRE(q->consumed(0));
  auto lease = q->take(2, deadline::passed())->lease();
  REQUIRE_FALSE(q->consumed(1));
  for (std::uint64_t i = 2; i < 3000; ++i) REQUIRE(get(*q) == i);
  for (std::uint64_t i = 2; i < 3000; ++i) REQUIRE(q->consumed(i));
  REQUIRE_FALSE(q->consumed(1));
  REQUIRE_FALSE(q->consumed(3000));
  REQUIRE_FALSE(q->consumed(1'000'000));
  REQUIRE(q->ack(2, *lease).has_value());
  REQUIRE(q->consumed(1));
  REQUIRE(q->first_position() == 3000);
}

TEST_CASE("slots: a process that was asked to stop takes no new work, but puts what it has") {
  auto q = make({.max_items = 1});
  put(*q, 1);
  request_stop(errc::stopping);
  REQUIRE(q->take(2, deadline::never()) == errc::stopping);
  REQUIRE(q->put(1, message(2), deadline::never()) == errc::stopping);  // it would have to wait
  REQUIRE(q->wait_idle(deadline::never()) == errc::stopping);
  clear_stop();
  REQUIRE(get(*q) == 1);
  request_stop(errc::interrupted);
  put(*q, 2);
  REQUIRE(q->take(2, deadline::never()) == errc::interrupted);
  clear_stop();
}

TEST_CASE("slots: another process attaches by descriptor; another type or a forged geometry is refused") {
  auto q = make({.fingerprint = 77});
  put(*q, 5);
  const auto mapped = [&] { return memory::attach(owned_fd(::fcntl(q->fd(), F_DUPFD_CLOEXEC, 0)), "queue").value(); };
  auto same = slots::attach(mapped(), 77);
  REQUIRE(same.has_value());
  REQUIRE(get(**same) == 5);
  put(**same, 6);
  REQUIRE(get(*q) == 6);
  REQUIRE(slots::attach(mapped(), 78) == errc::wrong_type);
  for (std::size_t byte = slots_geometry::at; byte < slots_geometry::at + sizeof(slots_geometry); ++byte) {
    const auto member = byte - slots_geometry::at;
    if (member >= offsetof(slots_geometry, max_items) && member < offsetof(slots_geometry, max_bytes))
      continue;  // any limit is possible
    q->layout().mapping().data()[byte] ^= std::byte{0x10};
    const auto forged = slots::attach(mapped(), 77);
    q->layout().mapping().data()[byte] ^= std::byte{0x10};
    REQUIRE((forged == errc::broken));
  }
}

TEST_CASE("promise 21: no memory to grow is an error at that put, and nothing is lost") {
  const auto ended = harness::forked([] {
    auto q = make_in_small_filesystem(400 * 1024, {.name = "tasks"});
    if (!q) return 77;
    std::uint64_t n = 0;
    result<std::uint64_t> r = q->put(1, message(n), deadline::never());
    while (r) r = q->put(1, message(++n), deadline::never());
    if (r != errc::no_memory) return 1;
    if (q->put(1, message(0, 500'000), deadline::never()) != errc::no_memory) return 2;
    for (std::uint64_t i = 0; i < n; ++i)
      if (get(*q) != i) return 3;
    for (std::uint64_t i = 0; i < 100; ++i) put(*q, i);
    for (std::uint64_t i = 0; i < 100; ++i)
      if (get(*q) != i) return 4;
    return leaks(*q).empty() ? 0 : 5;
  });
  if (ended.code() == 77) {
    WARN("cannot mount a small filesystem here: not tested");
    return;
  }
  INFO(ended.text());
  REQUIRE(ended.success());
}

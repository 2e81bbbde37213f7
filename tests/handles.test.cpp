// SPDX-License-Identifier: BSD-3-Clause
// Handles inside messages: sent and dropped at once, passed on, outliving their senders, and never leaking.
#include "harness.hpp"

#include <cloister/cloister.hpp>
#include <cloister/detail/membership.hpp>

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

#include <unistd.h>

using namespace cloister;
using namespace std::literals;
using harness::here;

namespace {

struct request {
  int n;
  sink<int> reply;
};

void serve(source<request> in) {
  for (auto& r : in) r.reply.put(2 * r.n);
}

struct parcel {
  int depth;
  queue<int> inside;
};

void pass_on(source<queue<int>> in, sink<queue<int>> out) {
  for (auto& q : in) out.put(q);
}

void send_and_die(const node& mine, sink<queue<int>> out) {
  queue<int> q{mine};
  for (int i = 0; i < 3; ++i) q.put(i);
  out.put(q);
  ::kill(::getpid(), SIGKILL);
}

// Whether this process, which is the hub's too, has an object of that name.
bool is_open(const std::string& name) {
  const auto all = harness::open_descriptors();
  return std::any_of(all.begin(), all.end(), [&](const auto& fd) { return fd.find(name) != std::string::npos; });
}

}  // namespace

TEST_CASE("a reply comes back through a handle in a message") {
  queue<request> requests{*here};
  queue<int> mine{*here};
  process p{*here, serve, requests};
  for (int i = 0; i < 1000; ++i) {
    requests.put({i, mine});
    REQUIRE(mine.get() == 2 * i);
  }
  requests.close();
}

TEST_CASE("promise 26: a handle that is sent and dropped at once is always usable") {
  queue<queue<int>> carrier{*here};
  process p{*here,
            [](source<queue<int>> in) {
              for (auto& q : in) q.put(7);
            },
            carrier};
  const int rounds = 10'000 / harness::slowdown / 10;
  for (int i = 0; i < rounds; ++i) {
    queue<int> q{*here};
    carrier.put(q);
    if (i % 100 == 0) REQUIRE(q.get(20s).value() == 7);
  }
  carrier.close();
  REQUIRE(p.join().success());
}

TEST_CASE("a handle passed on by a grandchild arrives, and its messages with it") {
  queue<queue<int>> there{*here}, between{*here}, back{*here};
  process a{*here, pass_on, there, between};
  process b{*here, pass_on, between, back};
  {
    queue<int> q{*here};
    q.put(42);
    there.put(q);
  }
  REQUIRE(back.get(20s).value().get() == 42);
  there.close();
  between.close();
}

TEST_CASE("a handle outlives the process that made it, sent it, and died") {
  queue<queue<int>> carrier{*here};
  process p{*here, send_and_die, carrier};
  REQUIRE(p.join().signal() == SIGKILL);
  auto q = carrier.get(20s).value();
  for (int i = 0; i < 3; ++i) REQUIRE(q.get(1s).value() == i);
}

TEST_CASE("a pipe's end in a message belongs to the receiver") {
  queue<pipe_end<int>> carrier{*here};
  auto [mine, theirs] = pipe<int>(*here);
  carrier.put(std::move(theirs));
  REQUIRE_FALSE(theirs);
  process p{*here,
            [](source<pipe_end<int>> in) {
              auto end = in.get();
              end.send(end.recv() + 1);
            },
            carrier};
  mine.send(1);
  REQUIRE(mine.recv(20s).value() == 2);
  REQUIRE(mine.recv(20s) == errc::closed);
}

TEST_CASE("one-way ends in messages keep their direction, and are refused as the other one") {
  const auto method = GENERATE(start_method::forkserver, start_method::spawn, start_method::fork);
  queue<pipe_end<int, void>> writers{*here};
  queue<pipe_end<void, int>> readers{*here};
  auto [from_child, for_writing] = one_way<int>(*here);
  auto [for_reading, to_child] = one_way<int>(*here);
  process p{*here,
            {.start = method},
            [](source<pipe_end<int, void>> out, source<pipe_end<void, int>> in) {
              const auto writer = out.get();
              const auto reader = in.get();
              writer.send(reader.recv() + 1);
            },
            writers,
            readers};
  writers.put(std::move(for_writing));
  readers.put(std::move(for_reading));
  to_child.send(41);
  REQUIRE(from_child.recv(20s).value() == 42);
  REQUIRE(p.join().success());

  auto [reading, writing] = one_way<int>(*here);
  writers.put(std::move(writing));
  detail::taken_message taken(detail::object_of(writers.handle()));
  taken.take("get", 1s).value();
  REQUIRE(taken.deliver<pipe_end<void, int>>() == errc::wrong_type);
}

TEST_CASE("a pipe's end that travelled and was dropped leaves nothing behind, though the first process is alone") {
  // Nobody else makes the hub look: it must do so by itself, for as long as a message may still carry the end.
  queue<pipe_end<int>> carrier{*here};
  for (int i = 0; i < 3; ++i) {
    auto [mine, theirs] = pipe<int>(*here, {.name = "dropped"});
    carrier.put(std::move(theirs));
    carrier.get().send(i);
    REQUIRE(mine.recv() == i);
    REQUIRE(mine.recv(30s) == errc::closed);
  }
  REQUIRE(harness::eventually([] { return !is_open("'dropped'"); }));
}

TEST_CASE("promise 20: who merely held a mailbox removes nothing at its end, and the last holder's death removes all") {
  const auto method = GENERATE(start_method::forkserver, start_method::spawn, start_method::fork);
  // Seen from the hub, which has a descriptor of everything that is still there.
  const auto there = [] { return is_open("'kept'"); };
  queue<queue<int>> carrier{*here};
  queue<int> up{*here};
  const auto keep = [](source<queue<int>> in, sink<int> out) {
    const auto q = in.get();
    out.put(q.get());
    this_process::sleep_for(1h);
  };
  process holder{*here, {.start = method}, keep, carrier, up};
  process maker{*here,
                {.start = method},
                [](const node& mine, queue<queue<int>> out) {
                  queue<int> q{mine, {.name = "kept"}};
                  out.put(q);
                  out.put(q);
                  q.put(1);
                },
                carrier};
  REQUIRE(maker.join().success());
  REQUIRE(up.get(20s).value() == 1);
  process passing{*here, {.start = method}, [](source<queue<int>> in) { in.get().put(2); }, carrier};
  REQUIRE(passing.join().success());
  REQUIRE(there());
  REQUIRE(holder.is_alive());
  ::kill(holder.pid(), SIGKILL);
  REQUIRE(harness::eventually([&] { return !there(); }));
}

TEST_CASE("a descriptor in a message is another one for the same file") {
  queue<owned_fd> carrier{*here};
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  owned_fd reading(ends[0]);
  carrier.put(owned_fd(ends[1]));
  process p{*here,
            [](source<owned_fd> in) {
              auto fd = in.get();
              static_cast<void>(!::write(fd.get(), "x", 1));
            },
            carrier};
  char c = 0;
  REQUIRE(::read(reading.get(), &c, 1) == 1);
  REQUIRE(c == 'x');
  p.join();
}

TEST_CASE("a message with more descriptors than a request may have is too large") {
  queue<std::vector<owned_fd>> carrier{*here};
  std::vector<owned_fd> many;
  for (int i = 0; i < 300; ++i) many.emplace_back(::dup(0));
  CHECK(carrier.try_put(std::move(many)) == errc::too_large);
  CHECK(many.front().get() >= 0);  // what was not put was not consumed
  CHECK_THROWS_AS(carrier.put(many), failure);
  CHECK(carrier.try_get() == errc::would_block);
}

TEST_CASE("the only sink of a queue, handed over in a message, does not close it in between") {
  queue<int> numbers{*here, {.close_with_last_sink = true}};
  queue<sink<int>> carrier{*here};
  carrier.put(sink<int>(numbers));
  process p{*here,
            [](source<sink<int>> in) {
              auto out = in.get();
              for (int i = 0; i < 100; ++i) out.put(i);
            },
            carrier};
  int expected = 0;
  for (const int n : numbers) REQUIRE(n == expected++);
  REQUIRE(expected == 100);
}

TEST_CASE("a handle of another message type is refused") {
  queue<int> q{*here};
  queue<queue<int>> carrier{*here};
  carrier.put(q);
  // The same bytes, read as a handle for strings: only a program that lies can do that.
  const auto as_strings = queue<queue<std::string>>();
  static_cast<void>(as_strings);
  auto& object = detail::object_of(carrier.handle());
  detail::taken_message taken(object);
  taken.take("get", 1s).value();
  REQUIRE(taken.deliver<queue<std::string>>() == errc::wrong_type);
}

TEST_CASE("objects, pins and descriptors are gone when nobody can reach them") {
  const auto before = harness::open_descriptors();
  {
    queue<queue<int>> carrier{*here};
    for (int i = 0; i < 200; ++i) {
      queue<int> q{*here};
      carrier.put(q);
    }
    for (int i = 0; i < 100; ++i) static_cast<void>(carrier.get());
    // A queue inside its own message: reachable by nobody once the handle is dropped.
    queue<parcel> knot{*here};
    queue<queue<parcel>> outer{*here};
    outer.put(knot);
    knot.put({1, queue<int>{*here}});
  }
  detail::membership::require().synchronise();
  // As many as before; which numbers they have depends on what was closed in between.
  const bool gone = harness::eventually([&] { return harness::open_descriptors().size() <= before.size(); });
  for (const auto& fd : harness::open_descriptors()) INFO(fd);
  REQUIRE(gone);
}

// SPDX-License-Identifier: BSD-3-Clause
// Batches, limits, and what becomes of messages and handles that are no good.
#include "harness.hpp"

#include <cloister/cloister.hpp>

#include <array>
#include <list>
#include <string>
#include <vector>

using namespace cloister;
using namespace std::literals;
using harness::here;

TEST_CASE("a batch goes in and out in order") {
  queue<int> q{*here};
  std::vector<int> all(1000);
  for (int i = 0; i < 1000; ++i) all[static_cast<std::size_t>(i)] = i;
  REQUIRE(q.put_many(all, 1s).value() == 1000);
  std::vector<int> got;
  while (got.size() < 1000) {
    const auto some = q.get_many(300);
    got.insert(got.end(), some.begin(), some.end());
  }
  REQUIRE(got == all);
}

TEST_CASE("a batch that ends half-way says why, or how much of it was put") {
  const auto taker = [](queue<int> in) {
    for (int i = 0; i < 5; ++i) in.get();
    in.close();
  };
  queue<int> numbers{*here, {.max_items = 10}};
  process a{*here, taker, numbers};
  const bool flat = GENERATE(true, false);
  try {
    if (flat) numbers.put_many(std::vector<int>(1000, 1));
    else numbers.put_many(std::list<int>(1000, 1));
    FAIL("all were put");
  } catch (const failure& f) { REQUIRE(f.code() == errc::closed); }
  queue<int> more{*here, {.max_items = 10}};
  process b{*here, taker, more};
  const auto put = flat ? more.put_many(std::vector<int>(1000, 1), 20s) : more.put_many(std::list<int>(1000, 1), 20s);
  REQUIRE(put.value() >= 5);
  REQUIRE(put.value() <= 15);
}

TEST_CASE("a message that cannot be read is an error of its own, also in a batch") {
  queue<std::string> q{*here};
  q.put("first");
  const std::array<std::byte, 1> lie{std::byte{200}};
  REQUIRE(detail::put_bytes(detail::object_of(q.handle()), lie, 1s));
  q.put("last");
  REQUIRE(q.get_many(10) == std::vector<std::string>{"first"});
  REQUIRE(q.get_many(10, 1s) == errc::undecodable);
  REQUIRE(q.get_many(10) == std::vector<std::string>{"last"});
}

TEST_CASE("a loop over a queue does not keep a message while it waits for the next") {
  queue<pipe_end<int>> q{*here};
  process server{*here,
                 [](source<pipe_end<int>> in) {
                   for (auto& end : in) end.send(1);
                 },
                 q};
  auto [mine, theirs] = pipe<int>(*here);
  q.put(std::move(theirs));
  REQUIRE(mine.recv(20s).value() == 1);
  REQUIRE(mine.recv(20s) == errc::closed);
  q.close();
}

TEST_CASE("a handle's type says of what it is a handle") {
  STATIC_REQUIRE(fingerprint<sink<int>>() != fingerprint<sink<std::string>>());
  STATIC_REQUIRE(fingerprint<sink<int>>() != fingerprint<source<int>>());
  STATIC_REQUIRE(fingerprint<pipe_end<int, bool>>() != fingerprint<pipe_end<bool, int>>());
  STATIC_REQUIRE(fingerprint<pipe_end<int, void>>() != fingerprint<pipe_end<char, void>>());
}

TEST_CASE("errors name the call that failed") {
  queue<int> q{*here, {.name = "jobs", .max_deliveries = 1}};
  REQUIRE(q.get(1ms).error().text() == "queue 'jobs' get: timed out");
  REQUIRE(q.take(1ms).error().text() == "queue 'jobs' take: timed out");
  REQUIRE(q.get_many(3, 1ms).error().text() == "queue 'jobs' get_many: timed out");
  REQUIRE(q.try_take_dead_letter().error().text().starts_with("queue 'jobs' try_take_dead_letter: "));
}

TEST_CASE("a message larger than the queue may become is refused") {
  queue<std::string> q{*here, {.max_bytes = 1 << 20}};
  REQUIRE(q.try_put(std::string(64 << 20, 'x')) == errc::too_large);
  q.put("fine");
  REQUIRE(q.get() == "fine");
}

TEST_CASE("flat messages of 4 KiB pass between processes") {
  using page = std::array<std::byte, 4096>;
  queue<page> q{*here};
  process p{*here, [](sink<page> out) { out.put(page{std::byte{1}, std::byte{2}}); }, q};
  REQUIRE(q.get(20s).value() == page{std::byte{1}, std::byte{2}});
  REQUIRE(p.join().success());
}

TEST_CASE("a handle that names nothing is an error, not a crash") {
  const queue<int> none;
  REQUIRE_FALSE(none);
  REQUIRE_THROWS_AS(none.put(1), failure);
  REQUIRE_THROWS_AS(none.size(), failure);
  REQUIRE_THROWS_AS((process{*here, [](source<int> in) { in.get(); }, none}), failure);
}

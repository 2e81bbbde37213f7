// SPDX-License-Identifier: BSD-3-Clause
// The typed queue as its users see it, within one process and between several.
#include "harness.hpp"

#include <cloister/cloister.hpp>

#include <csignal>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

using namespace cloister;
using namespace std::literals;
using harness::here;

namespace {

struct job {
  int id;
  std::string text;
  std::vector<double> numbers;
  friend bool operator==(const job&, const job&) = default;
};

void put_numbers(sink<int> out, int from, int to) {
  for (int i = from; i < to; ++i) out.put(i);
}

void drain(source<int> in) {
  while (in.get(5s)) {}
}

}  // namespace

TEST_CASE("what is put comes out, in order, whatever its type") {
  queue<job> q{*here, {.name = "jobs"}};
  const job a{1, "x", {1.5}}, b{2, std::string(100'000, 'y'), std::vector<double>(5000, 2.0)};
  q.put(a);
  q.put(b);
  REQUIRE(q.size() == 2);
  REQUIRE(q.get() == a);
  REQUIRE(q.get(1s).value() == b);
  REQUIRE(q.empty());
  REQUIRE(q.name() == "jobs");
}

TEST_CASE("a bounded queue is full at its limit, by every form of put") {
  const auto method = GENERATE(start_method::forkserver, start_method::spawn, start_method::fork);
  queue<int> q{*here, {.max_items = 6}};
  REQUIRE(q.capacity() == 6U);
  for (int i = 0; i < 6; i += 3) {
    REQUIRE_FALSE(q.full());
    q.put(i);
    REQUIRE(q.put(i + 1, 5s));
    REQUIRE(q.try_put(i + 2));
    REQUIRE(q.size() == static_cast<std::size_t>(i) + 3);
  }
  REQUIRE(q.full());
  REQUIRE(q.try_put(6) == errc::would_block);
  REQUIRE(q.put(6, 10ms) == errc::timed_out);
  process p{*here, {.start = method}, drain, q};
  q.put(7);  // waits for the drain
  REQUIRE(harness::eventually([&] { return q.empty(); }));
  REQUIRE_FALSE(q.full());
  q.close();
  REQUIRE(p.join().success());
}

TEST_CASE("an empty queue says so at once, or after the deadline and not before") {
  queue<int> q{*here};
  REQUIRE(q.try_get() == errc::would_block);
  const auto before = std::chrono::steady_clock::now();
  REQUIRE(q.get(200ms) == errc::timed_out);
  REQUIRE(std::chrono::steady_clock::now() - before >= 195ms);
  REQUIRE(q.get(-5s) == errc::would_block);
}

TEST_CASE("items put by a child come in order, none lost at its exit") {
  const auto method = GENERATE(start_method::forkserver, start_method::spawn, start_method::fork);
  queue<int> q{*here};
  q.put(-1);
  REQUIRE(q.get() == -1);  // in use before the child starts
  REQUIRE(q.empty());
  process p{*here, {.start = method}, put_numbers, q, 0, 1000};
  REQUIRE(p.join().success());
  REQUIRE(q.size() == 1000);
  REQUIRE_FALSE(q.empty());
  for (int i = 0; i < 1000; i += 4) {  // by every form of get
    REQUIRE(q.get() == i);
    REQUIRE(q.get(20s).value() == i + 1);
    REQUIRE(q.try_get().value() == i + 2);
    REQUIRE(q.get_many(1) == std::vector<int>{i + 3});
  }
  REQUIRE(q.empty());
}

TEST_CASE("a timed put that fails has not consumed its argument") {
  queue<std::unique_ptr<int>> q{*here, {.max_items = 1}};
  q.put(std::make_unique<int>(1));
  auto second = std::make_unique<int>(2);
  REQUIRE(q.put(std::move(second), 1ms) == errc::timed_out);
  REQUIRE(second);
  REQUIRE(*q.get() == 1);
  REQUIRE(q.put(std::move(second), 1s));
  REQUIRE_FALSE(second);
}

TEST_CASE("put and get on a closed queue are errors that name it") {
  queue<int> q{*here, {.name = "tasks"}};
  q.put(1);
  q.close();
  q.close();
  REQUIRE(q.closed());
  REQUIRE_THROWS_WITH(q.put(2), Catch::Matchers::Contains("tasks") && Catch::Matchers::Contains("closed"));
  REQUIRE(q.get() == 1);
  REQUIRE(q.try_get() == errc::closed);
  REQUIRE_THROWS_AS(q.get(), failure);
}

TEST_CASE("closing now discards what is there") {
  queue<int> q{*here};
  for (int i = 0; i < 100; ++i) q.put(i);
  q.close(close_how::now);
  REQUIRE(q.try_get() == errc::closed);
  REQUIRE(q.empty());
}

TEST_CASE("promise 40: closing wakes every blocked getter and putter in all processes") {
  const auto how = GENERATE(close_how::drain, close_how::now);
  const auto method = GENERATE(start_method::forkserver, start_method::spawn, start_method::fork);
  queue<int> empty{*here}, full{*here, {.max_items = 1}};
  queue<int> ready{*here};
  full.put(0);
  std::vector<process> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.emplace_back(
        *here, process_options{.start = method},
        [](queue<int> q, sink<int> up) {
          up.put(1);
          if (!(q.get(60s) == errc::closed)) throw std::runtime_error("not closed");
        },
        empty, ready);
    waiting.emplace_back(
        *here, process_options{.start = method},
        [](queue<int> q, sink<int> up) {
          up.put(1);
          if (!(q.put(1, 60s) == errc::closed)) throw std::runtime_error("not closed");
        },
        full, ready);
  }
  for (std::size_t i = 0; i < waiting.size(); ++i) ready.get();
  for (const auto& p : waiting) REQUIRE(harness::eventually([&] { return harness::asleep(p.pid()); }));
  empty.close(how);
  full.close(how);
  for (auto& p : waiting) REQUIRE(p.join(20s).value().success());
}

TEST_CASE("promise 15: after a put has returned, size is at least 1 and try_get succeeds, in every process") {
  const auto method = GENERATE(start_method::forkserver, start_method::spawn, start_method::fork);
  queue<int> q{*here}, fine{*here}, turn{*here};
  constexpr int rounds = 10'000 / harness::slowdown;
  // Its own puts first; then those that it hears of by another queue.
  process p{*here,
            {.start = method},
            [](queue<int> mine, sink<int> out, source<int> heard) {
              int ok = 0;
              for (int i = 0; i < rounds; ++i) {
                mine.put(i);
                ok += mine.size() == 1 && !mine.empty() && mine.try_get() && mine.empty() ? 1 : 0;
              }
              out.put(ok);
              for (int i = 0; i < rounds; ++i) {
                heard.get();
                out.put(mine.size() >= 1 && !mine.empty() && mine.try_get() ? 1 : 0);
              }
            },
            q,
            fine,
            turn};
  REQUIRE(fine.get() == rounds);
  for (int i = 0; i < rounds; ++i) {
    q.put(i);
    turn.put(i);
    if (fine.get() != 1) FAIL("round " << i);
    q.put(i);
    REQUIRE(q.size() == 1);
    REQUIRE(q.try_get().value() == i);
  }
}

TEST_CASE("promise 16: put A returned before put B began means A comes out first, across producers") {
  queue<int> q{*here};
  queue<int> turn_a{*here}, turn_b{*here};
  const auto alternate = [](sink<int> out, source<int> mine, sink<int> other, int last) {
    for (int n = mine.get(); n <= last; n = mine.get()) {
      out.put(n);
      other.put(n + 1);
    }
    other.put(last + 1);
  };
  process a{*here, alternate, q, turn_a, turn_b, 2000};
  process b{*here, alternate, q, turn_b, turn_a, 2000};
  turn_a.put(0);
  for (int i = 0; i <= 2000; ++i) REQUIRE(q.get(20s).value() == i);
}

TEST_CASE("promise 13: a child that put 100 MB on an undrained queue ends, and every item is still there") {
  queue<std::vector<std::byte>> q{*here};
  process p{*here,
            [](sink<std::vector<std::byte>> out) {
              for (int i = 0; i < 100; ++i) out.put(std::vector<std::byte>(1'000'000, static_cast<std::byte>(i)));
            },
            q};
  REQUIRE(p.join(60s).value().success());
  for (int i = 0; i < 100; ++i) {
    const auto item = q.try_get().value();
    REQUIRE(item.size() == 1'000'000);
    REQUIRE((item.front() == static_cast<std::byte>(i) && item.back() == static_cast<std::byte>(i)));
  }
}

TEST_CASE("promise 14: a value that has no encoding is an error at the put, and takes up no room") {
  struct thrower {
    operator std::string() const { throw 1; }
  };
  using strings = std::pair<std::string, std::string>;
  queue<std::variant<std::string, strings>> q{*here};
  std::variant<std::string, strings> broken;
  try {
    broken.emplace<strings>(thrower{}, thrower{});
  } catch (int) {}
  REQUIRE(broken.valueless_by_exception());
  REQUIRE_THROWS_AS(q.put(broken), failure);
  REQUIRE(q.size() == 0);
  q.put(std::string("fine"));
  REQUIRE(std::get<std::string>(q.get()) == "fine");
}

TEST_CASE("a leased message comes back when its holder is killed, and says so") {
  const auto method = GENERATE(start_method::forkserver, start_method::spawn, start_method::fork);
  queue<int> q{*here};
  queue<int> up{*here};
  q.put(5);
  process p{*here,
            {.start = method},
            [](source<int> in, sink<int> out) {
              auto l = in.take();
              out.put(*l);
              this_process::sleep_for(1h);
            },
            q,
            up};
  REQUIRE(up.get() == 5);
  REQUIRE(q.try_get() == errc::would_block);
  p.kill();
  auto again = q.take(20s).value();
  REQUIRE((*again == 5 && again.redelivered() && again.deliveries() == 1));
  again.ack();
  REQUIRE(q.join(1s));
}

TEST_CASE("promise 17: join returns although a consumer died between get and task_done") {
  const auto method = GENERATE(start_method::forkserver, start_method::spawn, start_method::fork);
  joinable_queue<int> q{*here};
  queue<int> up{*here};
  for (int i = 0; i < 3; ++i) q.put(i);
  {
    process p{*here,
              {.start = method},
              [](joinable_queue<int> in, sink<int> out) {
                out.put(in.get());
                this_process::sleep_for(1h);
              },
              q,
              up};
    REQUIRE(up.get() == 0);
    REQUIRE(q.join(10ms) == errc::timed_out);
    p.kill();
  }
  for (int i = 0; i < 3; ++i) {
    q.get();
    q.task_done();
  }
  REQUIRE(q.join(20s));
  REQUIRE_THROWS_AS(q.task_done(), failure);
}

TEST_CASE("a joinable queue has a queue's calls") {
  joinable_queue<std::string> q{*here, {.name = "jobs", .max_items = 2}};
  REQUIRE((q && q.name() == "jobs" && q.capacity() == 2U && q == joinable_queue<std::string>(q)));
  std::string text = "first";
  q.put(std::move(text));
  REQUIRE(q.try_put("second"));
  REQUIRE((q.full() && q.size() == 2));
  REQUIRE(q.try_put("third") == errc::would_block);
  REQUIRE(q.try_get().value() == "first");
  q.close(close_how::now);
  REQUIRE(q.closed());
  REQUIRE(q.try_get() == errc::closed);
  REQUIRE(q.join(10ms) == errc::timed_out);
  q.task_done();
  REQUIRE(q.join(20s));
}

TEST_CASE("the end of a lease loop's body acknowledges; leaving it gives back") {
  queue<int> q{*here};
  for (int i = 0; i < 4; ++i) q.put(i);
  for (auto& l : q.leases()) {
    if (*l == 1) break;
  }
  auto l = q.take();
  REQUIRE((*l == 1 && l.redelivered()));
  l.ack();
  try {
    for (auto& m : q.leases()) throw *m;
  } catch (int n) { REQUIRE(n == 2); }
  REQUIRE(q.take().redelivered());
}

TEST_CASE("a message that is given back too often becomes a dead letter") {
  queue<std::string> q{*here, {.max_deliveries = 3}};
  q.put("poison");
  q.put("fine");
  for (int i = 0; i < 3; ++i) {
    auto l = q.take();
    REQUIRE(*l == "poison");
    l.give_back();
  }
  REQUIRE(q.get() == "fine");
  REQUIRE(q.try_get() == errc::would_block);
  auto dead = q.try_take_dead_letter().value();
  REQUIRE(*dead == "poison");
  dead.ack();
  REQUIRE(q.try_take_dead_letter() == errc::would_block);
}

TEST_CASE("a queue closes when the last sink of it has ended") {
  queue<int> q{*here, {.close_with_last_sink = true}};
  std::vector<process> producers;
  {
    const sink<int> open = q;  // until all have theirs
    for (int i = 0; i < 2; ++i) producers.emplace_back(*here, put_numbers, open, 100 * i, 100 * (i + 1));
  }
  std::set<int> got;
  for (const int n : q) got.insert(n);
  REQUIRE(got.size() == 200);
}

TEST_CASE("several threads of several processes share a queue") {
  queue<int> q{*here};
  const auto many = [](sink<int> out) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) threads.emplace_back([&] { put_numbers(out, 0, 500); });
    for (auto& t : threads) t.join();
  };
  process a{*here, many, q}, b{*here, many, q};
  std::map<int, int> seen;
  for (int i = 0; i < 4000; ++i) ++seen[q.get(20s).value()];
  REQUIRE(seen.size() == 500);
  for (const auto& [n, count] : seen) REQUIRE(count == 8);
}

// SPDX-License-Identifier: BSD-3-Clause
// Futures, and the pool as concurrent.futures' tests have it.
#include "pool_support.hpp"

#include <algorithm>
#include <csignal>
#include <set>
#include <stdexcept>

#include <unistd.h>

using namespace cloister;
using namespace support;

namespace {

int fails(int x) { throw std::domain_error(std::to_string(x)); }
int after(const source<int>& go, int x) {
  static_cast<void>(go.get());
  return x;
}

// Never ends, and counts how much of it was read.
struct endless {
  long* pulled;
  struct iterator {
    using value_type = int;
    using difference_type = std::ptrdiff_t;
    long* pulled;
    int operator*() const { return static_cast<int>(++*pulled % 100); }
    iterator& operator++() { return *this; }
    void operator++(int) {}
    friend bool operator==(const iterator&, std::default_sentinel_t) { return false; }
  };
  iterator begin() const { return {pulled}; }
  std::default_sentinel_t end() const { return {}; }
};

// A coroutine that nobody waits for; what it finds goes into a queue.
struct detached {
  struct promise_type {
    detached get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
};
detached add_squares(const pool_handle p, queue<int> out) {  // by value: they live in its frame
  const auto first = p.apply_async(square, 3);
  const int a = co_await first;
  const int b = co_await p.apply_async(square, 4);
  int c = 0;
  try {
    c = co_await p.apply_async(fails, 5);
  } catch (const failure& f) { c = f.code() == errc::threw ? 100 : 0; }
  out.put(a + b + c);
}

}  // namespace

TEST_CASE("ExecutorTest.test_submit, test_map, test_map_exception: results before the failing one come first, then its error") {
  EACH_METHOD(how);
  pool_options o;
  o.workers = 2;
  o.process.start = how;
  const pool p{here(), o};
  CHECK(p.apply_async(square, 4).get() == 16);
  auto results = p.imap([](int x) { return 10 / (x == 2 ? throw std::domain_error("two") : x + 1); }, up_to(4));
  CHECK(results.next()->value() == 10);
  CHECK(results.next()->value() == 5);
  CHECK(*results.next() == errc::threw);
  CHECK(results.next()->value() == 2);
}

TEST_CASE(
    "ExecutorTest.test_map_timeout, ThreadPoolExecutorTest.test_executor_map_current_future_cancel: what is late is cancelled with the rest") {
  const pool p{here(), {.workers = 1}};
  const queue<int> go{here()}, ran{here()};
  {
    auto results = p.imap(
        [](int x, const source<int>& in, const sink<int>& say) {
          say.put(x);
          return x == 0 ? 0 : after(in, x);
        },
        up_to(10), source<int>(go), sink<int>(ran));
    CHECK(results.next(20s)->value() == 0);
    CHECK(*results.next(50ms) == errc::timed_out);
  }
  CHECK(p.apply_async(square, 3).get(20s).value() == 9);  // the one that ran was stopped, the others never began
  std::set<int> which;
  while (auto x = ran.try_get()) which.insert(*x);
  CHECK(which == std::set<int>{0, 1});
}

TEST_CASE("ThreadPoolExecutorTest.test_map_submits_without_iteration: all is done though nobody asks") {
  const pool p{here(), {.workers = 2}};
  const queue<int> ran{here()};
  const auto f = p.map_async([](int x, const sink<int>& say) { say.put(x); }, up_to(4), sink<int>(ran));
  p.close();
  p.join();
  CHECK(ran.size() == 4);
}

TEST_CASE(
    "ExecutorTest.test_shutdown_race_issue12456, ExecutorShutdownTest.test_hang_issue12364: closed right behind many tasks, all are done") {
  const pool p{here(), {.workers = 2}};
  std::vector<future<int>> all;
  for (int i = 0; i < 50; ++i) all.push_back(p.apply_async(square, i));
  p.close();
  p.join();
  for (int i = 0; i < 50; ++i) CHECK(all[static_cast<std::size_t>(i)].get() == i * i);
}

TEST_CASE("ProcessPoolExecutorTest.test_saturation: there are never more workers than it is to have") {
  const queue<int> go{here()}, starts{here()};
  pool_options o;
  o.workers = 3;
  o.initializer = {[](const sink<int>& say) { say.put(1); }, sink<int>(starts)};
  const pool p{here(), o};
  std::vector<future<int>> all;
  for (int i = 0; i < 45; ++i) all.push_back(p.apply_async(after, source<int>(go), i));
  for (int i = 0; i < 45; ++i) go.put(1);
  when_all(all);
  CHECK(all_started(p, 3));
  CHECK(starts.size() <= 3);
}

TEST_CASE(
    "ExecutorDeadlockTest.test_shutdown_deadlock: a worker that crashes when the pool is closed already: its future fails, and join returns") {
  const pool p{here(), {.workers = 2}};
  const queue<int> go{here()};
  const auto f = p.apply_async(
      [](const source<int>& in) {
        static_cast<void>(in.get());
        ::raise(SIGSEGV);
      },
      source<int>(go));
  const auto again = p.with({.tries = 2})
                         .apply_async(
                             [](const source<int>& in) {
                               if (in.get() == 2) ::raise(SIGKILL);
                               return 5;
                             },
                             source<int>(go));
  p.close();
  for (const int x : {2, 2, 2, 1, 1}) go.put(x);
  p.join();
  CHECK(f.get(20s) == errc::worker_lost);
  const auto r = again.get(20s);
  CHECK((r == errc::worker_lost || r.value() == 5));
}

TEST_CASE(
    "ExecutorShutdownTest.test_cancel_futures, test_hang_gh94440: what waits is cancelled, what has begun is done, and join returns") {
  const pool p{here(), {.workers = 2}};
  const queue<int> go{here()}, begun{here()};
  std::vector<future<int>> all;
  const auto task = [](const source<int>& in, const sink<int>& say, int x) {
    say.put(x);
    return after(in, x);
  };
  for (int i = 0; i < 20; ++i) all.push_back(p.apply_async(task, source<int>(go), sink<int>(begun), i));
  const std::set<int> running{begun.get(), begun.get()};
  for (int i = 0; i < 20; ++i)
    if (!running.contains(i)) CHECK(all[static_cast<std::size_t>(i)].cancel());
  p.close();
  go.put(1);
  go.put(1);
  p.join();
  for (int i = 0; i < 20; ++i) {
    const auto r = all[static_cast<std::size_t>(i)].get(20s);
    if (running.contains(i)) CHECK(r.value() == i);
    else CHECK(r == errc::cancelled);
  }
  CHECK(begun.empty());
}

TEST_CASE("WaitTests.test_first_completed(_some_already_completed), test_timeout: when_any returns with one, the others go on") {
  const pool p{here(), {.workers = 3}};
  const queue<int> go{here()};
  std::vector<future<int>> all;
  for (int i = 0; i < 2; ++i) all.push_back(p.apply_async(after, source<int>(go), i));
  CHECK(when_any(all, 50ms) == errc::timed_out);
  CHECK(when_any(all, deadline::passed()) == errc::would_block);
  CHECK(when_all(all, 10ms) == errc::timed_out);
  all.push_back(p.apply_async(square, 5));
  CHECK(when_any(all) == 2);
  CHECK(when_any(all) == 2);
  CHECK_FALSE(all[0].ready());
  go.put(1);
  go.put(1);
  when_all(all);
  for (const auto& f : all) CHECK(f.ready());
  CHECK(when_any(std::vector<future<int>>(), 1s) == errc::invalid);
  when_all(std::vector<future<int>>());
}

TEST_CASE(
    "WaitTests.test_all_completed, ThreadPoolWaitTests.test_pending_calls_race: failures count as done; a hundred that end at once") {
  const pool p{here(), {.workers = 2}};
  std::vector<future<int>> all;
  for (int i = 0; i < 100; ++i) all.push_back(i % 3 == 0 ? p.apply_async(fails, i) : p.apply_async(square, i));
  when_all(all);
  for (int i = 0; i < 100; ++i) CHECK(all[static_cast<std::size_t>(i)].successful() == (i % 3 != 0));
}

TEST_CASE("futures of several pools are waited for together") {
  const pool p{here(), {.workers = 1}}, q{here(), {.workers = 1}};
  const queue<int> go{here()};
  std::vector<future<int>> all;
  all.push_back(p.apply_async(after, source<int>(go), 1));
  all.push_back(q.apply_async(square, 3));
  CHECK(when_any(all) == 1);
  go.put(1);
  when_all(all);
}

TEST_CASE("AsCompletedTests.test_no_timeout, test_future_times_out: each once, as it completes; then what is late is late") {
  const pool p{here(), {.workers = 2}};
  const queue<int> first{here()}, second{here()};
  std::vector<future<int>> all;
  all.push_back(p.apply_async(after, source<int>(first), 0));
  all.push_back(p.apply_async(after, source<int>(second), 1));
  std::vector<std::size_t> order;
  second.put(1);
  for (const auto i : as_completed(all)) {
    order.push_back(i);
    if (order.size() == 1) first.put(1);
  }
  CHECK(order == std::vector<std::size_t>{1, 0});
  std::vector<future<int>> more;
  more.push_back(p.apply_async(square, 2));
  more.push_back(p.apply_async(after, source<int>(first), 0));
  more[0].wait();
  as_completed those(more, 50ms);
  auto at = those.begin();
  CHECK(*at == 0);
  try {
    ++at;
    FAIL("there is another one");
  } catch (const failure& f) { CHECK(f.code() == errc::timed_out); }
  first.put(1);
}

TEST_CASE(
    "FutureTests.test_done_callback_*: with the result, the error or the cancellation; also when it is added late; what it throws is logged") {
  const queue<std::string> said{here()};  // before the pool, whose end waits for callbacks
  const pool p{here(), {.workers = 2}};
  const queue<int> go{here()};
  const auto say = [&](const result<int>& r) { said.put(r ? std::to_string(*r) : std::string(to_string(r.error().code()))); };
  const auto good = p.apply_async(square, 3), bad = p.apply_async(fails, 1);
  const auto gone = p.apply_async(after, source<int>(go), 1);
  for (const auto* f : {&good, &bad, &gone}) f->then(say);
  gone.cancel();
  std::multiset<std::string> all;
  for (int i = 0; i < 3; ++i) all.insert(said.get());
  CHECK(all == std::multiset<std::string>{"9", "threw", "cancelled"});
  good.then([](const result<int>&) { throw 1; });
  for (const auto* f : {&good, &bad, &gone}) f->then(say);
  CHECK(said.get() == "9");
  CHECK(said.get() == "threw");
  CHECK(said.get() == "cancelled");
}

TEST_CASE("FutureTests.test_cancel, test_done, test_result_with_timeout: the states of a future, and what it says in each") {
  const pool p{here(), {.workers = 1}};
  const queue<int> go{here()};
  const auto running = p.apply_async(after, source<int>(go), 1);
  const auto pending = p.apply_async(square, 2);
  CHECK_FALSE(running.ready());
  CHECK_FALSE(pending.ready());
  CHECK(running.get(deadline::passed()) == errc::would_block);
  CHECK(pending.get(deadline::passed()) == errc::would_block);
  CHECK(pending.cancel());
  CHECK(pending.ready());
  CHECK_FALSE(pending.successful());
  CHECK_FALSE(pending.cancel());
  CHECK(pending.get(deadline::passed()) == errc::cancelled);
  CHECK_THROWS_AS(pending.get(), failure);
  go.put(1);
  CHECK(running.get() == 1);
  CHECK_FALSE(running.cancel());
  CHECK(running.get(deadline::passed()).value() == 1);
  const auto failed = p.apply_async(fails, 1);
  failed.wait();
  CHECK_FALSE(failed.cancel());
  CHECK(failed.get(deadline::passed()) == errc::threw);
  // One that names nothing.
  future<int> none;
  CHECK_FALSE(none);
  CHECK_THROWS_AS(none.ready(), failure);
  auto moved = p.apply_async(square, 2);
  none = std::move(moved);
  CHECK(std::move(none).get() == 4);
}

TEST_CASE("a coroutine awaits futures, and goes on on the thread of the callbacks") {
  const pool p{here(), {.workers = 2}};
  const queue<int> out{here()};
  add_squares(p, out);
  CHECK(out.get(20s).value() == 9 + 16 + 100);
}

TEST_CASE("many threads submit and wait at the same time, and each gets its own") {
  const pool p{here(), {.workers = 2}};
  std::atomic<int> wrong{0};
  std::vector<std::thread> crew;
  for (int t = 0; t < 8; ++t)
    crew.emplace_back([&, t] {
      for (int i = 0; i < 300 / harness::slowdown; ++i)
        if (p.apply(square, t * 1000 + i) != (t * 1000 + i) * (t * 1000 + i)) ++wrong;
    });
  for (auto& t : crew) t.join();
  CHECK(wrong == 0);
}

TEST_CASE(
    "ProcessPoolExecutorTest.test_broken_process_pool_traceback, test_traceback_when_child_process_terminates_abruptly: each its own, with the exit") {
  const pool p{here(), {.workers = 2}};
  std::vector<future<int>> all;
  for (int i = 1; i <= 4; ++i) all.push_back(p.apply_async([](int x) -> int { ::_exit(x); }, i));
  for (int i = 1; i <= 4; ++i) {
    const auto r = all[static_cast<std::size_t>(i - 1)].get(20s);
    REQUIRE((r == errc::worker_lost));
    CHECK(r.error().exit()->code() == i);
    CHECK(r.error().text().find("exit " + std::to_string(i)) != std::string::npos);
  }
}

TEST_CASE(
    "ProcessPoolExecutorTest.test_force_shutdown_*: terminate while workers are replaced, of a broken pool, and before there is any worker") {
  for (int i = 0; i < 20; ++i) {
    const pool p{here(), {.workers = 2, .max_tasks_per_worker = 1}};
    std::vector<future<int>> all;
    for (int n = 0; n < 20; ++n) all.push_back(p.apply_async(square, n));
    if (i % 2 == 0) all.front().wait();
    p.terminate();
    CHECK(p.workers().empty());
    for (const auto& f : all) CHECK(f.get(20s).has_value() + (f.get(20s) == errc::cancelled) == 1);
    p.terminate();
  }
  pool_options o;
  o.workers = 1;
  o.initializer = {[] { throw 1; }};
  const pool broken{here(), o};
  CHECK_FALSE(broken.apply_async(square, 1).get(20s));
  broken.terminate();
}

TEST_CASE("an initializer that is killed each time does not go on for ever") {
  pool_options o;
  o.workers = 1;
  o.initializer = {[] { ::raise(SIGKILL); }};
  const pool p{here(), o};
  CHECK(p.apply_async(square, 1).get(50s) == errc::not_started);
}

TEST_CASE("thousands of cancellations at once are all remembered") {
  const pool p{here(), {.workers = 1}};
  const queue<int> go{here()}, ran{here()};
  const auto first = p.apply_async(after, source<int>(go), 1);
  std::vector<future<void>> all;
  for (int i = 0; i < 5000; ++i) all.push_back(p.apply_async([](const sink<int>& say) { say.put(1); }, sink<int>(ran)));
  for (const auto& f : all) f.cancel();
  go.put(1);
  CHECK(p.apply_async(square, 3).get(50s).value() == 9);
  CHECK(ran.empty());
}

TEST_CASE("whoever only asks whether it is ready hears of it; after terminate and join all are") {
  const pool p{here(), {.workers = 1}};
  const auto f = p.apply_async(square, 3);
  CHECK(harness::eventually([&] { return f.ready(); }, 20s));
  std::vector<future<int>> all;
  for (int i = 0; i < 1000; ++i) all.push_back(p.apply_async(square, i));
  GENERATE(0, 1) == 0 ? p.terminate() : p.close();
  p.join();
  CHECK(std::ranges::all_of(all, [](const auto& it) { return it.ready(); }));
}

TEST_CASE("promise 30: endless input is pulled no further ahead than the window, with chunks, too; leaving it returns") {
  const std::size_t chunk = GENERATE(1, 3, 64);
  const pool p{here(), {.workers = 2}};
  long pulled = 0;
  const endless input{&pulled};
  {
    auto results = p.with({.chunk = chunk, .window = 10}).imap(square, input);
    for (long taken = 0; taken < 200; ++taken) {
      REQUIRE(results.next(20s)->value() >= 0);
      REQUIRE(pulled - taken <= 10 + 1);
    }
  }
  CHECK(p.apply_async(square, 3).get(20s).value() == 9);
}

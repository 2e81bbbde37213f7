// SPDX-License-Identifier: BSD-3-Clause
// The pool as Python's tests have it: mapping, lazy input, errors, workers that are replaced, and its end.
#include "pool_support.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <forward_list>
#include <map>
#include <set>
#include <stdexcept>

#include <fcntl.h>
#include <unistd.h>

using namespace cloister;
using namespace support;

namespace {

int multiply(int x, int y) { return x * y; }
struct power {
  int exponent;
  long operator()(long x) const {
    long r = 1;
    for (int i = 0; i < exponent; ++i) r *= x;
    return r;
  }
};
pool_options with_method(start_method how, int workers = 4) {
  pool_options o;
  o.workers = workers;
  o.process.start = how;
  return o;
}
// Has no encoding if it holds no value.
struct refuses_to_be_made {
  refuses_to_be_made() = default;
  explicit refuses_to_be_made(int) { throw std::runtime_error("no"); }
  std::string x;
  auto travel() { return std::tie(x); }
};
using maybe_broken = std::variant<int, refuses_to_be_made>;
maybe_broken broken_value() {
  maybe_broken v = 1;
  try {
    v.emplace<refuses_to_be_made>(1);
  } catch (const std::runtime_error&) {}
  return v;
}
// An input range of f(x) for each x. (Clang 14 does not compile std::views.)
template <class F>
class lazily {
 public:
  lazily(const std::vector<int>& of, F f) : of_(of), f_(std::move(f)) {}
  struct iterator {
    using value_type = int;
    using difference_type = std::ptrdiff_t;
    const lazily* in;
    std::size_t at;
    int operator*() const { return in->f_(in->of_[at]); }
    iterator& operator++() {
      ++at;
      return *this;
    }
    void operator++(int) { ++at; }
    friend bool operator==(const iterator& i, std::default_sentinel_t) { return i.at == i.in->size(); }
  };
  std::size_t size() const { return of_.size(); }
  iterator begin() const { return {this, 0}; }
  std::default_sentinel_t end() const { return {}; }

 private:
  const std::vector<int>& of_;
  F f_;
};
// A task that takes its time.
int sleep_then(int ms, int value) {
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));
  return value;
}

}  // namespace

TEST_CASE("_TestPool.test_apply: a value, by every kind of function") {
  EACH_METHOD(how);
  const pool p{here(), with_method(how)};
  CHECK(p.apply(square, 5) == 25);
  CHECK(p.apply(multiply, 6, 7) == 42);
  CHECK(p.apply(power{3}, 2) == 8);
  CHECK(p.apply([](const std::string& a, std::string b) { return a + b; }, "x", "y") == "xy");
  CHECK(p.apply([](auto a, auto b) { return a + b; }, 1.5, 2) == 3.5);
  p.apply([] {});
  CHECK(p.apply([](node&, int x) { return x; }, 3) == 3);
}

TEST_CASE("_TestPool.test_map, test_map_chunksize: ordered results, with and without a chunk size, of ranges of all kinds") {
  EACH_METHOD(how);
  const pool p{here(), with_method(how)};
  CHECK(p.map(square, up_to(10)) == squares(10));
  for (const std::size_t chunk : {1, 3, 20, 1000}) {
    CHECK(p.with({.chunk = chunk}).map(square, up_to(100)) == squares(100));
    CHECK(p.with({.chunk = chunk}).map(square, std::vector<int>()).empty());
  }
  CHECK(p.map(square, std::array{1, 2, 3}) == std::vector{1, 4, 9});
  CHECK(p.map(square, std::deque{1, 2, 3}) == std::vector{1, 4, 9});
  CHECK(p.map(square, std::set{3, 1, 2}) == std::vector{1, 4, 9});
  CHECK(p.map(square, std::forward_list{1, 2, 3}) == std::vector{1, 4, 9});
  const auto ten = up_to(10);
  CHECK(p.map(square, lazily(ten, [](int x) { return 2 * x; })).back() == 18 * 18);  // can be walked once only
  // Text, containers, bools, and values that have no default.
  CHECK(p.map([](const std::string& s) { return s.size(); }, std::vector<std::string>{"a", "", "abc"}) ==
        std::vector<std::size_t>{1, 0, 3});
  CHECK(p.map([](int x) { return x > 1; }, up_to(4)) == std::vector{false, false, true, true});
  CHECK(p.map([](int x) { return std::vector(static_cast<std::size_t>(x), x); }, up_to(3)) ==
        std::vector<std::vector<int>>{{}, {1}, {2, 2}});
  // The same for all.
  CHECK(p.map(multiply, up_to(4), 3) == std::vector{0, 3, 6, 9});
  CHECK(p.map([](int x, const std::string& s) { return s + std::to_string(x); }, up_to(2), "n") ==
        std::vector<std::string>{"n0", "n1"});
  // Nothing.
  p.map([](int) {}, up_to(10));
}

TEST_CASE("_TestPool.test_starmap, test_starmap_async: the parts of tuples and pairs are arguments, order kept") {
  EACH_METHOD(how);
  const pool p{here(), with_method(how)};
  std::vector<std::pair<int, int>> pairs;
  for (int i = 0; i < 100; ++i) pairs.emplace_back(i, 99 - i);
  std::vector<int> products;
  for (const auto& [a, b] : pairs) products.push_back(a * b);
  CHECK(p.starmap(multiply, pairs) == products);
  CHECK(p.with({.chunk = 7}).starmap(multiply, pairs) == products);
  CHECK(p.starmap_async(multiply, pairs).get() == products);
  CHECK(p.starmap([](int a, std::string b, int all) { return b + std::to_string(a + all); }, std::vector{std::tuple(1, "x")}, 1) ==
        std::vector<std::string>{"x2"});
}

TEST_CASE("_TestPool.test_map_async, test_map_async_callbacks: called once with the whole, or once with the error") {
  const queue<std::vector<int>> all{here()};  // before the pool, whose end waits for callbacks
  const queue<std::string> what{here()};
  const pool p{here(), {.workers = 2}};
  p.map_async(square, up_to(10)).then([&](const result<std::vector<int>>& r) { all.put(r.value()); });
  CHECK(all.get() == squares(10));
  const auto f = p.map_async([](int x) { return x == 3 ? throw std::invalid_argument("three") : x; }, up_to(10));
  f.then([&](const result<std::vector<int>>& r) { what.put(r.error().text()); });
  CHECK(what.get().find("std::invalid_argument: three") != std::string::npos);
  CHECK_FALSE(f.successful());
  p.close();
  p.join();
  CHECK(all.empty());
  CHECK(what.empty());
}

TEST_CASE("_TestPool.test_map_unplicklable: what has no encoding fails for its caller, and the pool goes on") {
  const pool p{here(), {.workers = 2}};
  const auto index = [](const maybe_broken& v) { return static_cast<int>(v.index()); };
  std::vector<maybe_broken> items(3);
  items[1] = broken_value();
  try {
    static_cast<void>(p.with({.chunk = 1}).map(index, items));
    FAIL("it has a value");
  } catch (const failure& f) { CHECK(f.code() == errc::invalid); }
  CHECK(p.apply_async(index, broken_value()).get(20s) == errc::invalid);
  CHECK(p.map(square, up_to(3)) == squares(3));
}

TEST_CASE("_TestPool.test_async, test_async_timeout: get waits; with a deadline it is late and the task goes on") {
  EACH_METHOD(how);
  const pool p{here(), with_method(how)};
  queue<int> go{here()};
  const auto f = p.apply_async([](const source<int>& in) { return in.get(); }, source<int>(go));
  CHECK(f.get(10ms) == errc::timed_out);
  CHECK_FALSE(f.ready());
  CHECK(f.get(deadline::passed()) == errc::would_block);
  go.put(7);
  CHECK(f.get() == 7);
  CHECK(f.get() == 7);
  CHECK(f.ready());
  CHECK(f.successful());
}

TEST_CASE("_TestPool.test_imap: values in order, and an end; with chunks, too") {
  EACH_METHOD(how);
  const pool p{here(), with_method(how)};
  for (const std::size_t chunk : {0, 1, 7, 100, 1000}) {
    std::vector<int> got;
    for (const int x : p.with({.chunk = chunk}).imap(square, up_to(500))) got.push_back(x);
    CHECK(got == squares(500));
  }
  auto few = p.imap(square, up_to(3));
  CHECK(few.next()->value() == 0);
  CHECK(few.next(20s)->value() == 1);
  CHECK(few.next()->value() == 4);
  CHECK_FALSE(few.next());
  CHECK_FALSE(few.next());
}

TEST_CASE("_TestPool.test_imap_unordered: the same set in any order") {
  EACH_METHOD(how);
  const pool p{here(), with_method(how)};
  for (const std::size_t chunk : {1, 53}) {
    std::vector<int> got;
    for (const int x : p.with({.chunk = chunk}).imap_unordered(square, up_to(500))) got.push_back(x);
    std::ranges::sort(got);
    CHECK(got == squares(500));
  }
}

TEST_CASE(
    "_TestPool.test_imap(_unordered)_handle_iterable_exception: what was pulled before comes first, then what pulling threw") {
  const bool ordered = GENERATE(true, false);
  const std::size_t chunk = GENERATE(1, 4);
  const pool p{here(), {.workers = 4}};
  const auto numbers = up_to(100);
  lazily throws(numbers, [](int x) { return x == 10 ? throw std::domain_error("ten") : x; });
  const auto call = p.with({.chunk = chunk});
  auto results = ordered ? call.imap(square, throws) : call.imap_unordered(square, throws);
  std::vector<int> got;
  try {
    while (auto r = results.next()) got.push_back(r->value());
    FAIL("it has not thrown");
  } catch (const std::domain_error& e) { CHECK(std::string(e.what()) == "ten"); }
  CHECK_FALSE(results.next());
  std::ranges::sort(got);
  CHECK(got == squares(10));
  // Also at the very beginning, and in map.
  lazily at_once(numbers, [](int x) { return x == 0 ? throw std::domain_error("zero") : x; });
  auto none = p.imap(square, at_once);
  CHECK_THROWS_AS(none.next(), std::domain_error);
  CHECK_FALSE(none.next());
  CHECK_THROWS_AS(p.map(square, throws), std::domain_error);
  CHECK(p.map(square, up_to(5)) == squares(5));
}

TEST_CASE("lazy input is pulled no further ahead than the window") {
  const pool p{here(), {.workers = 2}};
  int pulled = 0;
  const auto numbers = up_to(1000);
  lazily counted(numbers, [&](int x) { return ++pulled, x; });
  int taken = 0;
  for (const int x : p.with({.window = 5}).imap(square, counted)) {
    CHECK(x == taken * taken);
    ++taken;
    CHECK(pulled <= taken + 5);
  }
  CHECK(taken == 1000);
}

TEST_CASE("_TestPool.test_make_pool: no worker is refused; else there are exactly so many") {
  for (const int n : {0, -1, 1025}) {
    try {
      const pool p{here(), {.workers = n}};
      FAIL("a pool of " << n);
    } catch (const failure& f) { CHECK(f.code() == errc::invalid); }
  }
  for (const int n : {1, 3}) {
    const pool p{here(), {.workers = n}};
    CHECK(all_started(p, static_cast<std::size_t>(n)));
    CHECK(p.size() == static_cast<unsigned>(n));
  }
}

TEST_CASE("_TestPool.test_terminate: with 10 000 long tasks waiting it ends promptly, and each hears of it") {
  EACH_METHOD(how);
  const pool p{here(), with_method(how, 3)};
  std::vector<future<int>> all;
  for (int i = 0; i < 10'000; ++i) all.push_back(p.apply_async(sleep_then, 10'000, i));
  p.terminate();
  CHECK(p.workers().empty());
  for (const auto& f : all) {
    auto r = f.get(20s);
    REQUIRE((r == errc::cancelled));
  }
}

TEST_CASE("_TestPool.test_empty_iterable: all forms give nothing for nothing") {
  const pool p{here(), {.workers = 1}};
  const std::vector<int> none;
  const std::vector<std::pair<int, int>> no_pairs;
  CHECK(p.map(square, none).empty());
  CHECK(p.map_async(square, none).get().empty());
  CHECK(p.starmap(multiply, no_pairs).empty());
  CHECK(p.starmap_async(multiply, no_pairs).get().empty());
  CHECK_FALSE(p.imap(square, none).next());
  CHECK_FALSE(p.imap_unordered(square, none).next());
}

TEST_CASE("_TestPool.test_context, test_enter: at the end of its scope a pool is stopped, and its handles say so") {
  pool_handle kept;
  std::vector<process_id> workers;
  future<int> open;
  {
    const pool p{here(), {.workers = 2}};
    kept = p;
    CHECK(kept.map(square, up_to(4)) == squares(4));
    REQUIRE(all_started(p, 2));
    workers = p.workers();
    open = p.apply_async(sleep_then, 20'000, 1);
  }
  for (const auto& w : workers) CHECK_FALSE(alive(w.pid));
  CHECK(open.get(20s) == errc::cancelled);
  CHECK(kept.apply_async(square, 1).get(20s) == errc::closed);
  try {
    static_cast<void>(kept.map(square, up_to(4)));
    FAIL("it has answered");
  } catch (const failure& f) { CHECK(f.code() == errc::closed); }
}

TEST_CASE("use after close is refused, and join waits for what there is") {
  const pool p{here(), {.workers = 2}};
  CHECK_THROWS_AS(p.join(), failure);  // not closed
  std::vector<future<int>> all;
  for (int i = 0; i < 20; ++i) all.push_back(p.apply_async(sleep_then, 5, i));
  p.close();
  CHECK(p.apply_async(square, 1).get(20s) == errc::closed);
  CHECK_THROWS_AS(p.resize(3), failure);
  p.join();
  for (int i = 0; i < 20; ++i) CHECK(all[static_cast<std::size_t>(i)].get(deadline::passed()).value() == i);
  CHECK(p.workers().empty());
  p.close();
  p.join();
  p.terminate();
}

TEST_CASE(
    "_TestPool.test_traceback, promise 31: a task's error says type, text, pool, task, pid and host; the input's own are themselves") {
  const pool p{here(), {.name = "crew", .workers = 1}};
  const auto f =
      p.with({.name = "third"}).apply_async([](int x) -> int { throw std::out_of_range("x is " + std::to_string(x)); }, 3);
  auto r = f.get(20s);
  REQUIRE((r == errc::threw));
  char host[256] = {};
  ::gethostname(host, sizeof host - 1);
  const auto text = r.error().text();
  for (const std::string part : {"crew", "third", "std::out_of_range: x is 3", static_cast<const char*>(host)})
    CHECK(text.find(part) != std::string::npos);
  REQUIRE(all_started(p, 1));
  CHECK(text.find("pid " + std::to_string(p.workers().front().pid)) != std::string::npos);
  REQUIRE(r.error().exit() != nullptr);
  CHECK(r.error().exit()->exception_type() == "std::out_of_range");
  CHECK(r.error().exit()->exception_text() == "x is 3");
}

TEST_CASE(
    "_TestPoolWorkerErrors.test_async_error_callback, test_unpickleable_result: what has no encoding is said so, 20 times in a row") {
  const pool p{here(), {.workers = 2}};
  REQUIRE(all_started(p, 2));
  const auto before = p.workers();
  for (int i = 0; i < 20; ++i) {
    auto r = p.apply_async([] { return broken_value(); }).get(20s);
    REQUIRE((r == errc::invalid));
    CHECK(r.error().text().find("its result") != std::string::npos);
  }
  CHECK(p.workers() == before);
  CHECK(p.apply(square, 3) == 9);
}

TEST_CASE("_TestPoolWorkerLifetime.test_pool_worker_lifetime: workers end after so many tasks, and all results are right") {
  EACH_METHOD(how);
  auto options = with_method(how, 3);
  options.max_tasks_per_worker = 10;
  const pool p{here(), options};
  const auto pid_after = [](int) { return ::getpid(); };
  std::map<pid_t, int> tasks;
  for (const pid_t pid : p.with({.chunk = 1}).map(pid_after, up_to(100))) ++tasks[pid];
  CHECK(tasks.size() >= 10);
  for (const auto& [pid, n] : tasks) CHECK(n <= 10);
  CHECK(all_started(p, 3));
  p.close();
  p.join();
}

TEST_CASE("_TestPoolWorkerLifetime.test_pool_worker_lifetime_early_close, promise 29: every limit with any backlog: all is done") {
  const int limit = GENERATE(1, 2, 3, 7);
  const pool p{here(), {.workers = 3, .max_tasks_per_worker = limit}};
  std::vector<future<int>> all;
  for (int i = 0; i < 30; ++i) all.push_back(p.apply_async(sleep_then, 1, i));
  p.close();
  p.join();
  for (int i = 0; i < 30; ++i) CHECK(all[static_cast<std::size_t>(i)].get(20s).value() == i);
}

TEST_CASE("_TestPoolWorkerLifetime.test_pool_maxtasksperchild_invalid: a limit below 1 is refused") {
  for (const int limit : {0, -1}) {
    try {
      const pool p{here(), {.workers = 1, .max_tasks_per_worker = limit}};
      FAIL("a limit of " << limit);
    } catch (const failure& f) { CHECK(f.code() == errc::invalid); }
  }
}

TEST_CASE("a worker with too much memory is replaced after its task") {
  const pool p{here(), {.workers = 1, .max_memory_per_worker = std::size_t{256} << 20}};
  const auto pid = [](std::size_t mib) {
    static std::vector<char> kept;
    kept.assign(mib << 20, 'x');
    return ::getpid();
  };
  const auto first = p.apply(pid, std::size_t{1});
  CHECK(p.apply(pid, std::size_t{1}) == first);
  CHECK(p.apply(pid, std::size_t{300}) == first);
  CHECK(p.apply(pid, std::size_t{1}) != first);
}

TEST_CASE(
    "TestInitializers.test_pool_initializer: once in each worker, with its arguments; what it returns is the worker's state") {
  EACH_METHOD(how);
  queue<int> made{here()};
  struct state {
    int base = 0;
    int tasks = 0;
  };
  auto options = with_method(how, 3);
  options.initializer = {[](node&, int base, const sink<int>& say) {
                           say.put(base);
                           return state{base, 0};
                         },
                         40, sink<int>(made)};
  const pool p{here(), options};
  const auto add = [](state& s, int x) {
    ++s.tasks;
    return s.base + x;
  };
  CHECK(p.map(add, up_to(100)) == [] {
    auto v = up_to(100);
    for (auto& x : v) x += 40;
    return v;
  }());
  CHECK(p.apply([](node&, state& s, int) { return s.base; }, 1) == 40);
  for (int i = 0; i < 3; ++i) CHECK(made.get(20s).value() == 40);
  CHECK(made.empty());
  // A task that wants another state than there is.
  CHECK(p.apply_async([](std::string& s) { return s; }).get(20s) == errc::invalid);
  CHECK(p.map(add, up_to(1)) == std::vector{40});
}

TEST_CASE(
    "TestPoolNotLeakOnFailure.test_release_unused_processes: if workers cannot be started, whoever waits hears why, and nothing is left") {
  const auto before = harness::child_processes();
  {
    pool_options o{.workers = 3};
    o.process.cwd = "/does/not/exist";
    const pool p{here(), o};
    auto r = p.apply_async(square, 1).get(30s);
    REQUIRE_FALSE(r);
    CHECK(r.error().code() != errc::timed_out);
  }
  CHECK(harness::eventually([&] { return harness::child_processes().size() <= before.size(); }));
}

TEST_CASE("resize: more workers at once, fewer after their tasks") {
  const pool p{here(), {.workers = 2}};
  REQUIRE(all_started(p, 2));
  p.resize(5);
  CHECK(p.size() == 5);
  CHECK(all_started(p, 5));
  p.resize(1);
  CHECK(all_started(p, 1));
  CHECK(p.map(square, up_to(10)) == squares(10));
  CHECK_THROWS_AS(p.resize(0), failure);
  CHECK_THROWS_AS(p.resize(-3), failure);
}

TEST_CASE("idle workers end after a time, and come back when there is work") {
  const pool p{here(), {.workers = 3, .idle_timeout = 100ms}};
  CHECK(p.map(square, up_to(10)) == squares(10));
  CHECK(all_started(p, 0));
  for (int i = 0; i < 3; ++i) {
    CHECK(p.map(square, up_to(10)) == squares(10));
    CHECK(all_started(p, 0));
  }
}

TEST_CASE("urgent tasks are before all others that wait, idle ones behind") {
  const pool p{here(), {.workers = 1}};
  queue<int> go{here()}, order{here()};
  const auto first = p.apply_async([](const source<int>& in) { return in.get(); }, source<int>(go));
  const auto say = [](const sink<int>& out, int n) { out.put(n); };
  std::vector<future<void>> all;
  all.push_back(p.with({.priority = task_priority::idle}).apply_async(say, sink<int>(order), 3));
  all.push_back(p.apply_async(say, sink<int>(order), 2));
  all.push_back(p.with({.priority = task_priority::urgent}).apply_async(say, sink<int>(order), 1));
  go.put(0);
  when_all(all);
  for (int n = 1; n <= 3; ++n) CHECK(order.get() == n);
  // Each by itself wakes a worker.
  CHECK(p.with({.priority = task_priority::idle}).apply_async(square, 3).get(20s).value() == 9);
  CHECK(p.with({.priority = task_priority::urgent}).apply_async(square, 3).get(20s).value() == 9);
}

TEST_CASE("progress: done, total and rate, from the thread that waits, or from that of the callbacks") {
  std::atomic<std::size_t> seen{0};
  const pool p{here(), {.workers = 2}};
  const auto me = std::this_thread::get_id();
  std::size_t last = 0;
  bool mine = true;
  const auto on_progress = [&](const progress& now) {
    mine = mine && std::this_thread::get_id() == me;
    CHECK(now.done >= last);
    last = now.done;
    CHECK(now.total == 100);
  };
  CHECK(p.with({.chunk = 5, .on_progress = on_progress}).map(square, up_to(100)) == squares(100));
  CHECK(last == 100);
  CHECK(mine);
  const auto f = p.with({.chunk = 5, .on_progress = [&](const progress& now) { seen = now.done; }}).map_async(square, up_to(100));
  CHECK(f.get() == squares(100));
  CHECK(harness::eventually([&] { return seen == 100; }));
  std::size_t streamed = 0;
  for ([[maybe_unused]] const int x :
       p.with({.on_progress = [&](const progress& now) { streamed = now.done; }}).imap(square, up_to(10))) {}
  CHECK(streamed == 10);
}

namespace {
// What a bar writes for 10 items, of which one is done every 40 ms, if stderr is `to`; it can be read from `from`.
std::string drawn(const owned_fd& to, const owned_fd& from) {
  const auto draw = [&] {
    ::dup2(to.get(), STDERR_FILENO);
    progress_bar bar("sums");
    for (std::size_t n = 1; n <= 10; ++n) bar({n, 10, n * 40ms});
  };
  REQUIRE(harness::forked(draw).success());
  std::string all(1000, '\0');
  all.resize(static_cast<std::size_t>(::read(from.get(), all.data(), all.size())));
  return all;
}
}  // namespace

TEST_CASE("the progress bar is one line at the end where nobody looks") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const owned_fd from(ends[0]), to(ends[1]);
  CHECK(drawn(to, from) == "sums 10/10, 25/s, 0.40 s\n");
}

TEST_CASE("the progress bar on a terminal is drawn in its place, at most ten times a second and at the end") {
  const owned_fd screen(::posix_openpt(O_RDWR | O_NOCTTY));
  REQUIRE((::grantpt(screen.get()) == 0 && ::unlockpt(screen.get()) == 0));
  const owned_fd terminal(::open(::ptsname(screen.get()), O_RDWR | O_NOCTTY));
  REQUIRE(terminal);
  CHECK(drawn(terminal, screen) ==
        "\rsums [###...........................] 1/10, 25/s, 0 s left\033[K"
        "\rsums [############..................] 4/10, 25/s, 0 s left\033[K"
        "\rsums [#####################.........] 7/10, 25/s, 0 s left\033[K"
        "\rsums [##############################] 10/10, 25/s, 0.40 s\033[K\r\n");
}

TEST_CASE("a handle travels: a child submits to its parent's pool, also what comes from its own memory") {
  EACH_METHOD(how);
  const pool p{here(), {.workers = 2}};
  queue<int> out{here()};
  const process child{here(), by(how),
                      [](const pool_handle& its, const sink<int>& say) {
                        for (const int x : its.map([](int v) { return v + 1; }, std::vector{1, 2, 3})) say.put(x);
                        for (const int x : its.imap_unordered(power{2}, std::vector<long>{4})) say.put(x);
                        // A plain function has an address of this process: the pool's owner alone can vouch for it.
                        try {
                          static_cast<void>(its.apply(square, 1));
                        } catch (const failure& f) { say.put(f.code() == errc::invalid ? -1 : -2); }
                      },
                      static_cast<const pool_handle&>(p), sink<int>(out)};
  for (const int x : {2, 3, 4, 16, -1}) CHECK(out.get(20s).value() == x);
  CHECK(child.join().success());
}

TEST_CASE("handles are arguments and results, also of tasks that are run again") {
  const pool p{here(), {.workers = 2}};
  queue<std::string> q{here()};
  const auto put = [](sink<std::string> to, std::string what) {
    to.put(what);
    return to;
  };
  const auto back = p.apply(put, sink<std::string>(q), "one");
  back.put("two");
  CHECK(q.get() == "one");
  CHECK(q.get() == "two");
  const queue<int> deaths{here()};
  deaths.put(1);
  const auto dies_once = [](const sink<std::string>& to, const source<int>& d) {
    if (d.try_get()) ::raise(SIGKILL);
    to.put("again");
    return 1;
  };
  CHECK(p.with({.tries = 2}).apply(dies_once, sink<std::string>(q), source<int>(deaths)) == 1);
  CHECK(q.get() == "again");
}

TEST_CASE("get from inside a task of the same pool is a report, not a silent deadlock; another pool is no matter") {
  const pool p{here(), {.workers = 1}};
  const pool other{here(), {.workers = 1}};
  const auto inside = [](const pool_handle& its) {
    try {
      return its.apply([] { return 1; });
    } catch (const failure& f) { return f.code() == errc::deadlock ? -1 : -2; }
  };
  CHECK(p.apply_async(inside, static_cast<const pool_handle&>(p)).get(20s).value() == -1);
  CHECK(p.apply_async(inside, static_cast<const pool_handle&>(other)).get(20s).value() == 1);
  const auto later = [](const pool_handle& its) {
    auto r = its.apply_async([] { return 1; }).get(20s);
    return r == errc::deadlock ? -1 : -2;
  };
  CHECK(p.apply_async(later, static_cast<const pool_handle&>(p)).get(20s).value() == -1);
}

namespace {
int nest(node& there, int depth) {
  try {
    const pool p{there, {.workers = 1}};
    return p.apply(nest, depth + 1);
  } catch (const failure& f) { return f.code() == errc::invalid ? depth : -1; }
}
}  // namespace

TEST_CASE(
    "TestStdinBadfiledescriptor.test_pool_in_process, promise 36: pools in workers go to a stated depth; killing the root takes the tree along") {
  const pool p{here(), {.workers = 1}};
  CHECK(p.apply(nest, 1) == static_cast<int>(most_nested_pools));
  queue<pid_t> pids{here()};
  const auto grow = [](node& there, const sink<pid_t>& say) {
    const pool inner{there, {.workers = 2}};
    say.put(::getpid());
    inner.map(
        [](int, const sink<pid_t>& to) {
          to.put(::getpid());
          std::this_thread::sleep_for(1min);  // until it is killed
        },
        std::vector{1, 2}, say);
  };
  const auto f = p.apply_async(grow, sink<pid_t>(pids));
  const auto root = pids.get();
  std::vector<pid_t> tree{pids.get(), pids.get()};
  ::kill(root, SIGKILL);
  CHECK(f.get(20s) == errc::worker_lost);
  CHECK(all_gone(tree));
}

TEST_CASE("1 MiB there and back") {
  const pool p{here(), {.workers = 2}};
  std::string big(std::size_t{1} << 20, 'x');
  big[12345] = 'y';
  CHECK(p.apply([](std::string s) { return s; }, big) == big);
  const std::vector<std::string> many(20, big);
  CHECK(p.map([](const std::string& s) { return s; }, many) == many);
}

TEST_CASE("nothing of a pool is left: descriptors, processes, threads") {
  {
    const pool p{here(), {.workers = 1}};
    static_cast<void>(p.apply(square, 1));
  }  // what stays is there from now on
  const auto before = harness::open_descriptors().size();
  for (int i = 0; i < 5; ++i) {
    const pool p{here(), {.workers = 2}};
    CHECK(p.map(square, up_to(10)) == squares(10));
    p.apply_async(square, 1).then([](const result<int>&) {});
  }
  CHECK(harness::eventually([&] { return harness::open_descriptors().size() <= before; }));
}

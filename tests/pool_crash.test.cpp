// SPDX-License-Identifier: BSD-3-Clause
// The pool when something dies: workers at every step, tasks that end or hang their worker, what cannot be decoded, the owner, a submitter.
#include "pool_support.hpp"

#include <algorithm>
#include <csignal>
#include <random>
#include <set>
#include <stdexcept>

#include <fcntl.h>
#include <unistd.h>

using namespace cloister;
using namespace support;

namespace {

[[noreturn]] void die(int) { ::raise(SIGKILL), ::abort(); }

}  // namespace

// Its codec misbehaves where it is decoded.
struct treacherous {
  int how = 0;
};

template <>
struct cloister::codec<treacherous> {
  static constexpr std::uint64_t fingerprint = 0x74'72'65'61;
  static void put(encoder& out, const treacherous& t) {
    if (t.how == 4) throw std::length_error("cannot be encoded");
    out.value(t.how);
  }
  static treacherous get(decoder& in) {
    switch (const int how = in.value<int>()) {
      case 1: ::_exit(3);
      case 2: ::raise(SIGSEGV); break;
      case 3: throw std::logic_error("cannot be decoded");
      case 5: in.fail("treacherous", "is refused");
      default: return {how};
    }
    return {};
  }
};

TEST_CASE("a worker is killed at a step: what may be repeated is done, exactly, and of what may not one item is lost at most") {
  struct step {
    const char* point;
    unsigned index;
  };
  const auto at = GENERATE(values<step>({{"get", 2},
                                         {"lease", 1},
                                         {"lease", 4},
                                         {"task", 1},
                                         {"task", 2},
                                         {"task", 3},
                                         {"task", 4},
                                         {"task", 5},
                                         {"task", 6},
                                         {"flush", 1},
                                         {"flush", 2},
                                         {"ack", 1},
                                         {"ack", 2},
                                         {"put", 1},
                                         {"put", 2}}));
  const bool repeats = GENERATE(true, false);
  const std::size_t chunk = GENERATE(1, 10);
  INFO(at.point << " " << at.index << (repeats ? ", repeated" : ", once") << ", chunk " << chunk);
  const queue<armed> faults{here()};
  faults.put({at.point, at.index, fault_action::kill});
  const queue<pid_t> who{here()};
  const pool p{here(), with_fault(faults, who, 1)};  // so that the armed one has work
  std::vector<int> got, lost;
  auto results = p.with({.tries = repeats ? 3U : 1U, .chunk = chunk}).imap(square, up_to(60));
  for (int i = 0; auto r = results.next(50s); ++i) {
    if (r->has_value()) {
      CHECK(**r == i * i);
      got.push_back(i);
    } else {
      CHECK(*r == errc::worker_lost);
      CHECK(r->error().text().find("SIGKILL") != std::string::npos);
      lost.push_back(i);
    }
  }
  CHECK(all_gone({who.get(20s).value()}));
  CHECK(got.size() + lost.size() == 60);
  CHECK(lost.size() <= (repeats ? 0U : 1U));
  CHECK(all_started(p, 1));
  CHECK(p.map(square, up_to(10)) == squares(10));
}

TEST_CASE(
    "promises 01, 34: the task of a killed worker fails, with pid, exit and name; all others finish, and the pool is whole again") {
  const int signal = GENERATE(SIGKILL, SIGSEGV, SIGTERM);
  const pool p{here(), {.workers = 4}};
  REQUIRE(all_started(p, 4));
  const queue<pid_t> where{here()};
  std::vector<future<int>> others;
  for (int i = 0; i < 50; ++i) others.push_back(p.apply_async(square, i));
  const auto f = p.with({.name = "victim"})
                     .apply_async(
                         [](const sink<pid_t>& say) {
                           for (const int number : {SIGTERM, SIGSEGV}) ::signal(number, SIG_DFL);  // a sanitizer has a handler
                           say.put(::getpid());
                           for (;;) ::pause();
                         },
                         sink<pid_t>(where));
  const auto pid = where.get();
  for (int i = 50; i < 100; ++i) others.push_back(p.apply_async(square, i));
  ::kill(pid, signal);
  auto r = f.get(20s);
  REQUIRE((r == errc::worker_lost));
  CHECK(r.error().text().find("victim") != std::string::npos);
  CHECK(r.error().text().find("pid " + std::to_string(pid)) != std::string::npos);
  REQUIRE(r.error().exit() != nullptr);
  CHECK(r.error().exit()->signal() == signal);
  for (int i = 0; i < 100; ++i) CHECK(others[static_cast<std::size_t>(i)].get(20s).value() == i * i);
  CHECK(all_started(p, 4));
}

TEST_CASE("promise 02: each idle worker is killed in turn, and the next tasks complete") {
  const pool p{here(), {.workers = 3}};
  REQUIRE(all_started(p, 3));
  CHECK(p.map(square, up_to(9)) == squares(9));
  for (const auto& w : p.workers()) {
    ::kill(w.pid, SIGKILL);
    CHECK(p.map(square, up_to(9)) == squares(9));
  }
  // All at once.
  for (const auto& w : p.workers()) ::kill(w.pid, SIGKILL);
  CHECK(p.map(square, up_to(9)) == squares(9));
  CHECK(all_started(p, 3));
}

TEST_CASE("promise 03: a task that exits, aborts, or ends its worker otherwise fails with that") {
  const pool p{here(), {.workers = 2}};
  const std::vector<std::pair<void (*)(), std::string>> ends{
      {[] { std::exit(3); }, "exit 3"}, {[] { ::_exit(0); }, "exit 0"}, {[] { std::abort(); }, "SIGABRT"}};
  for (const auto& [how, said] : ends) {
    auto r = p.apply_async(how).get(20s);
    REQUIRE((r == errc::worker_lost));
    CHECK(r.error().text().find(said) != std::string::npos);
  }
  CHECK(p.map(square, up_to(9)) == squares(9));
}

TEST_CASE("a task that throws what is no exception, closes all descriptors, blocks all signals or changes the directory") {
  const pool p{here(), {.workers = 2}};
  auto r = p.apply_async([]() -> int { throw 7; }).get(20s);
  REQUIRE((r == errc::threw));
  CHECK(r.error().text().find("int") != std::string::npos);
  const auto closed = p.apply_async([] {
                         for (int fd = 0; fd < 1024; ++fd) ::close(fd);
                         return 5;
                       }).get(20s);
  CHECK((closed == errc::worker_lost || closed.value() == 5));  // a process without its socket is ended
  CHECK(p.map(square, up_to(20)) == squares(20));
  const auto block = [] {
    sigset_t all;
    ::sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);
    return 6;
  };
  CHECK(p.apply_async(block).get(20s).value() == 6);
  CHECK(p.apply_async(block).get(20s).value() == 6);
  CHECK(p.map(square, up_to(20)) == squares(20));
}

TEST_CASE("promises 04, 28: what cannot be encoded or decoded, there or here, fails only its future") {
  const pool p{here(), {.workers = 2}};
  REQUIRE(all_started(p, 2));
  const auto take = [](const treacherous& t) { return t.how; };
  const auto give = [](int how) { return treacherous{how}; };
  // The error and what it says; those that kill a worker are under another name below.
  auto r = p.apply_async(take, treacherous{3}).get(20s);
  CHECK(r == errc::undecodable);
  CHECK(r.error().text().find("std::logic_error: cannot be decoded") != std::string::npos);
  CHECK(p.apply_async(take, treacherous{5}).get(20s) == errc::undecodable);
  CHECK(p.apply_async(give, 3).get(20s) == errc::undecodable);
  CHECK(p.apply_async(give, 5).get(20s) == errc::undecodable);
  auto encoded = p.apply_async(give, 4).get(20s);
  CHECK(encoded == errc::invalid);
  CHECK(encoded.error().text().find("std::length_error") != std::string::npos);
  CHECK_THROWS_AS(p.apply_async(take, treacherous{4}), std::length_error);
  // In chunks: the others of it are what they are.
  auto mixed = p.with({.chunk = 4}).imap(take, std::vector<treacherous>{{0}, {3}, {0}, {5}, {0}, {0}});
  for (const bool good : {true, false, true, false, true, true}) CHECK(mixed.next(20s)->has_value() == good);
  auto back = p.with({.chunk = 4}).imap(give, std::vector<int>{0, 3, 0, 5, 0, 0});
  for (const bool good : {true, false, true, false, true, true}) CHECK(back.next(20s)->has_value() == good);
  CHECK(p.map(square, up_to(9)) == squares(9));
}

TEST_CASE(
    "ExecutorDeadlockTest.test_exit_at_task_unpickle, test_crash_at_task_unpickle: a worker that ends while it decodes is lost") {
  const pool p{here(), {.workers = 2}};
  const auto take = [](const treacherous& t) { return t.how; };
  auto r = p.apply_async(take, treacherous{1}).get(20s);
  REQUIRE((r == errc::worker_lost));
  CHECK(r.error().text().find("exit 3") != std::string::npos);
  r = p.apply_async(take, treacherous{2}).get(20s);
  REQUIRE((r == errc::worker_lost));
  auto mixed = p.with({.chunk = 3}).imap(take, std::vector<treacherous>{{0}, {1}, {0}});
  for (const bool good : {true, false, true}) CHECK(mixed.next(20s)->has_value() == good);
  CHECK(p.map(square, up_to(9)) == squares(9));
}

TEST_CASE("ExecutorDeadlockTest.test_crash_big_data: a worker is killed while it sends a large result") {
  const queue<armed> faults{here()};
  faults.put({"put", GENERATE(1U, 2U), fault_action::kill});
  const queue<pid_t> who{here()};
  const pool p{here(), with_fault(faults, who, 1)};
  const auto big = [] { return std::string(std::size_t{8} << 20, 'x'); };
  const auto r = p.apply_async(big).get(20s);
  CHECK((r == errc::worker_lost || (r.has_value() && r->size() == std::size_t{8} << 20)));
  CHECK(all_gone({who.get(20s).value()}));
  CHECK(p.apply(big).size() == std::size_t{8} << 20);
}

TEST_CASE("promise 05: a callback that throws is said so, and the pool goes on; terminate from a callback returns") {
  const queue<int> said{here()};  // before the pool, whose end waits for callbacks
  const pool p{here(), {.workers = 2}};
  const auto f = p.apply_async(square, 2);
  f.then([](const result<int>&) { throw std::runtime_error("from a callback"); });
  CHECK(f.get() == 4);
  CHECK(p.map(square, up_to(1000)) == squares(1000));
  p.apply_async(square, 3).then([&](const result<int>& r) {
    p.terminate();
    said.put(r.value());
  });
  CHECK(said.get(20s).value() == 9);
  CHECK(p.apply_async(square, 1).get(20s) == errc::closed);
}

TEST_CASE("promise 06: a failing initializer is tried a few times, then whoever waits hears the cause") {
  const queue<int> tries{here()};
  pool_options o;
  o.workers = 2;
  o.initializer = {[](const sink<int>& say) {
                     say.put(1);
                     throw std::runtime_error("no database");
                   },
                   sink<int>(tries)};
  const pool p{here(), o};
  auto waiting = p.apply_async(square, 1);
  std::string text;
  try {
    static_cast<void>(p.map(square, up_to(10)));
  } catch (const failure& f) { text = f.what(); }
  CHECK(text.find("std::runtime_error: no database") != std::string::npos);
  auto r = waiting.get(20s);
  CHECK(r == errc::not_started);
  CHECK(p.apply_async(square, 1).get(20s).error().text().find("no database") != std::string::npos);
  p.join(20s).value();
  CHECK(tries.size() <= 6);
  CHECK(p.workers().empty());
}

TEST_CASE("promise 07: terminate returns with 10 000 tasks waiting and all workers stopped; each future is resolved") {
  const pool p{here(), {.workers = 3}};
  REQUIRE(all_started(p, 3));
  for (const auto& w : p.workers()) ::kill(w.pid, SIGSTOP);
  std::vector<future<int>> all;
  for (int i = 0; i < 10'000; ++i) all.push_back(p.apply_async(square, i));
  const auto m = p.map_async(square, up_to(1000));
  p.terminate();
  for (const auto& f : all) {
    auto r = f.get(20s);
    REQUIRE((r == errc::cancelled));
  }
  CHECK(m.get(20s) == errc::cancelled);
}

TEST_CASE(
    "promise 35: a running task is cancelled, or has a deadline: its worker is killed and replaced, no other task is touched") {
  const pool p{here(), {.workers = 3}};
  const queue<pid_t> where{here()};
  const auto hang = [](const sink<pid_t>& say) {
    say.put(::getpid());
    sigset_t all;
    ::sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);
    for (;;) ::pause();
    return 1;
  };
  const bool by_deadline = GENERATE(true, false);
  const auto f = p.with({.name = "hanging", .deadline = by_deadline ? 200ms : 0ms}).apply_async(hang, sink<pid_t>(where));
  const auto pid = where.get(20s).value();
  std::vector<future<int>> others;
  for (int i = 0; i < 20; ++i)
    others.push_back(p.apply_async(
        [](int x) {
          std::this_thread::sleep_for(10ms);  // so that both workers have some
          return x;
        },
        i));
  if (!by_deadline) CHECK(f.cancel());
  auto r = f.get(20s);
  CHECK(r == (by_deadline ? errc::timed_out : errc::cancelled));
  if (by_deadline) CHECK(r.error().text().find("deadline") != std::string::npos);
  CHECK_FALSE(f.cancel());
  CHECK(all_gone({pid}));
  for (int i = 0; i < 20; ++i) CHECK(others[static_cast<std::size_t>(i)].get(20s).value() == i);
  CHECK(all_started(p, 3));
}

TEST_CASE("a deadline is each item's own: of a chunk, the one that hangs is late, and the others are done") {
  const pool p{here(), {.workers = 1}};
  const auto hang_at_2 = [](int x) {
    if (x == 2)
      for (;;) ::pause();
    return x;
  };
  auto results = p.with({.deadline = 200ms, .chunk = 5}).imap(hang_at_2, up_to(5));
  for (int i = 0; i < 5; ++i) {
    auto r = *results.next(20s);
    if (i == 2) CHECK(r == errc::timed_out);
    else CHECK(r.value() == i);
  }
}

TEST_CASE("a worker that is stopped has no more than its deadline") {
  const pool p{here(), {.workers = 1}};
  const queue<pid_t> where{here()};
  const auto f = p.with({.deadline = 300ms})
                     .apply_async(
                         [](const sink<pid_t>& say) {
                           say.put(::getpid());
                           ::raise(SIGSTOP);
                         },
                         sink<pid_t>(where));
  CHECK(f.get(20s) == errc::timed_out);
  CHECK(all_gone({where.get()}));
  CHECK(p.map(square, up_to(9)) == squares(9));
}

TEST_CASE("a task that is cancelled before it begins never runs") {
  const pool p{here(), {.workers = 1}};
  const queue<int> go{here()}, ran{here()};
  const auto first = p.apply_async([](const source<int>& in) { return in.get(); }, source<int>(go));
  const auto say = [](const sink<int>& to, int x) { to.put(x); };
  std::vector<future<void>> all;
  for (int i = 0; i < 10; ++i) all.push_back(p.apply_async(say, sink<int>(ran), i));
  for (std::size_t i = 0; i < 10; i += 2) CHECK(all[i].cancel());
  go.put(1);
  CHECK(first.get(20s).value() == 1);
  for (std::size_t i = 0; i < 10; ++i) CHECK(all[i].get(20s).has_value() == (i % 2 == 1));
  for (int i = 1; i < 10; i += 2) CHECK(ran.get() == i);
  CHECK(ran.empty());
}

TEST_CASE("a poison task is set aside after so many workers, with back-off; the pool lives on") {
  const pool p{here(), {.workers = 2}};
  const auto began = std::chrono::steady_clock::now();
  const auto f = p.with({.name = "poison", .tries = 3, .backoff = 50ms}).apply_async(die, 1);
  CHECK(p.map(square, up_to(9)) == squares(9));
  auto r = f.get(20s);
  REQUIRE((r == errc::worker_lost));
  CHECK(r.error().text().find("set aside") != std::string::npos);
  CHECK(r.error().text().find("3 workers") != std::string::npos);
  CHECK(std::chrono::steady_clock::now() - began >= 150ms);  // 50 and 100
  // One in the middle of a chunk: each of the others once.
  const queue<int> ran{here()};
  const auto poisoned = [](int x, const sink<int>& say) {
    if (x == 3) ::raise(SIGKILL);
    say.put(x);
    return x;
  };
  auto results = p.with({.tries = 2, .chunk = 8}).imap(poisoned, up_to(8), sink<int>(ran));
  for (int i = 0; i < 8; ++i) CHECK(results.next(20s)->has_value() == (i != 3));
  std::multiset<int> which;
  while (auto x = ran.try_get()) which.insert(*x);
  CHECK(which == std::multiset<int>{0, 1, 2, 4, 5, 6, 7});
}

TEST_CASE("the owner is killed: who submitted from elsewhere hears of it, and no worker is left") {
  const queue<pid_t> pids{here()};
  const queue<pool_handle> handles{here()};
  process owner{here(),
                [](node& there, const sink<pid_t>& say, const sink<pool_handle>& give) {
                  const pool p{there, {.workers = 2}};
                  while (p.workers().size() < 2) std::this_thread::yield();
                  for (const auto& w : p.workers()) say.put(w.pid);
                  give.put(p);
                  for (;;) ::pause();
                },
                sink<pid_t>(pids), sink<pool_handle>(handles)};
  const auto its = handles.get(20s).value();
  const std::vector workers{pids.get(), pids.get()};
  CHECK(its.apply([](int x) { return x + 1; }, 1) == 2);
  std::vector<future<int>> all;
  for (int i = 0; i < 10; ++i)
    all.push_back(its.apply_async(
        [](int x) {
          std::this_thread::sleep_for(1min);  // until it is killed
          return x;
        },
        i));
  owner.kill();
  for (const auto& f : all) {
    auto r = f.get(20s);
    REQUIRE((r == errc::peer_down));
    CHECK(r.error().text().find("SIGKILL") != std::string::npos);
  }
  CHECK(all_gone(workers));
  auto late = its.apply_async([](int x) { return x; }, 1).get(20s);
  CHECK((late == errc::closed || late == errc::peer_down));
}

TEST_CASE("a submitter is killed: its tasks are passed over, and the pool goes on") {
  const pool p{here(), {.workers = 1}};
  const queue<int> ran{here()}, go{here()};
  const auto first = p.apply_async([](const source<int>& in) { return in.get(); }, source<int>(go));
  process submitter{here(),
                    [](const pool_handle& its, const sink<int>& to) {
                      std::vector<future<void>> all;
                      for (int i = 0; i < 10; ++i)
                        all.push_back(its.apply_async([](const sink<int>& say, int x) { say.put(x); }, to, i));
                      to.put(-1);
                      for (;;) ::pause();
                    },
                    static_cast<const pool_handle&>(p), sink<int>(ran)};
  CHECK(ran.get(20s).value() == -1);
  submitter.kill();
  submitter.join();
  go.put(1);
  CHECK(first.get(20s).value() == 1);
  CHECK(p.apply_async(square, 3).get(20s).value() == 9);
  CHECK(ran.empty());
}

TEST_CASE("a copy of the process that made a pool is none of its owner") {
  pool p{here(), {.workers = 1}};
  CHECK(p.apply(square, 2) == 4);
  const auto f = p.apply_async(square, 3);
  auto copy = process::fork(here(), {.start = start_method::fork}, [&] {
    if (!(f.get(1s) == errc::invalid) && !f.ready()) ::_exit(1);
    try {
      p.close();
      ::_exit(2);
    } catch (const failure& e) {
      if (e.code() != errc::invalid) ::_exit(3);
    }
    try {
      static_cast<void>(p.apply(square, 1));
      ::_exit(4);
    } catch (const failure& e) {
      if (e.code() != errc::invalid) ::_exit(5);
    }
    if (p.apply([](int x) { return x + 1; }, 1) != 2) ::_exit(6);  // it may submit like any other
    const pool gone = std::move(p);
  });
  CHECK(copy.join(20s).value().text() == "exit 0");
  CHECK(f.get(20s).value() == 9);
}

TEST_CASE("workers are killed all the time: what may be repeated is done exactly") {
  const pool p{here(), {.workers = 3}};
  std::atomic<bool> stop{false};
  std::thread killer([&] {
    std::minstd_rand random(1);
    while (!stop) {
      const auto all = p.workers();
      if (!all.empty()) ::kill(all[random() % all.size()].pid, SIGKILL);
      std::this_thread::sleep_for(3ms);  // how often one is killed
    }
  });
  const auto slowly = [](int x) {
    std::this_thread::sleep_for(100us);  // what the task computes
    return x * x;
  };
  const auto got = p.with({.tries = 1000, .chunk = 20}).map(slowly, up_to(4000 / harness::slowdown));
  stop = true;
  killer.join();
  CHECK(got == squares(4000 / harness::slowdown));
  CHECK(all_started(p, 3));
}

TEST_CASE("what is repeated after its back-off wakes a worker, whatever its priority") {
  const auto priority = GENERATE(task_priority::urgent, task_priority::normal, task_priority::idle);
  const pool p{here(), {.workers = 1}};
  const queue<int> deaths{here()};
  deaths.put(1);
  const auto f = p.with({.tries = 2, .backoff = 300ms, .priority = priority})
                     .apply_async(
                         [](const source<int>& d) {
                           if (d.try_get()) ::raise(SIGKILL);
                           return 7;
                         },
                         source<int>(deaths));
  CHECK(f.get(20s).value() == 7);
}

TEST_CASE("running tasks are cancelled all the time: no other task is lost, and none is left open") {
  const pool p{here(), {.workers = 2}};
  const auto task = [](int x) {
    std::this_thread::sleep_for(100us);  // what the task computes
    return x;
  };
  std::minstd_rand random(3);
  for (int round = 0; round < 40 / harness::slowdown; ++round) {
    std::vector<future<int>> all;
    for (int i = 0; i < 40; ++i) all.push_back(p.apply_async(task, i));
    std::set<int> cancelled;
    for (int n = 0; n < 10; ++n) {
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 300));  // any moment of any task
      const auto which = static_cast<int>(random() % 40);
      if (all[static_cast<std::size_t>(which)].cancel()) cancelled.insert(which);
    }
    for (int i = 0; i < 40; ++i) {
      const auto r = all[static_cast<std::size_t>(i)].get(20s);
      if (cancelled.contains(i)) CHECK(r == errc::cancelled);
      else CHECK(r.value() == i);
    }
  }
}

TEST_CASE("a function that cannot be decoded is no poison: its call fails, and no worker is lost twice for it") {
  struct bad_function {
    treacherous state;
    int operator()(int x) const { return x; }
  };
  const pool p{here(), {.workers = 1}};
  CHECK(p.apply_async(bad_function{{3}}, 1).get(20s) == errc::undecodable);
  CHECK(p.apply_async(bad_function{{1}}, 1).get(20s) == errc::worker_lost);
  CHECK(p.apply_async(bad_function{{2}}, 1).get(20s) == errc::worker_lost);
  CHECK(p.apply_async(bad_function{{0}}, 1).get(20s).value() == 1);
}

// SPDX-License-Identifier: BSD-3-Clause
// The pool when somebody does not go on: a worker stopped at a step, a launcher, a submitter that does not read, a queue that is full or
// broken, a back-off; and who waits while another thread cancels, looks on, or moves futures away.
#include "pool_support.hpp"

#include <cloister/actors/detail/pool_wire.hpp>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <fstream>
#include <thread>

#include <sys/mman.h>

using namespace cloister;
using namespace support;

namespace {

[[noreturn]] void hang(int) {
  for (;;) ::pause();
}

// Ends this process, a test's own child, with that line's number.
void expect(bool holds, int line = __builtin_LINE()) {
  if (!holds) ::_exit(line % 251 + 1);
}

bool both_sleep(const pool& p) {
  const auto all = p.workers();
  return all.size() == 2 && harness::asleep(all[0].pid) && harness::asleep(all[1].pid);
}

}  // namespace

TEST_CASE("a worker that is stopped at any step of an item has no more than the item's deadline") {
  struct step {
    const char* point;
    unsigned index;
  };
  const auto at =
      GENERATE(values<step>({{"task", 2}, {"task", 3}, {"task", 4}, {"task", 5}, {"flush", 1}, {"flush", 2}, {"put", 1}}));
  INFO(at.point << " " << at.index);
  const queue<armed> faults{here()};
  faults.put({at.point, at.index, fault_action::stop});
  const queue<pid_t> who{here()};
  const pool p{here(), with_fault(faults, who, 1)};
  auto results = p.with({.deadline = 200ms, .chunk = 5}).imap(square, up_to(20));
  unsigned late = 0;
  for (int i = 0; auto r = results.next(30s); ++i) {
    if (r->has_value()) CHECK(**r == i * i);
    else {
      CHECK(*r == errc::timed_out);
      CHECK(r->error().text().find("pool") != std::string::npos);
      ++late;
    }
  }
  CHECK(late <= 1);
  CHECK(all_gone({who.get(20s).value()}));
  CHECK(all_started(p, 1));
}

TEST_CASE("while the launcher is stopped a pool keeps deadlines, cancels and ends") {
  pool p{here(), {.workers = 2}};
  REQUIRE(all_started(p, 2));
  const auto late = p.with({.deadline = 300ms}).apply_async(hang, 1);
  const pid_t stopped = launcher();
  ::kill(stopped, SIGSTOP);
  ::kill(p.workers().front().pid, SIGKILL);  // one that is started again, as soon as there is a launcher
  const auto r = late.get(20s);
  CHECK((r == errc::timed_out || r == errc::worker_lost));
  const auto never = p.apply_async(square, 1);
  std::thread ends([&] { p.terminate(); });
  ends.join();
  CHECK(never.ready());
  ::kill(stopped, SIGCONT);
}

TEST_CASE("results that a dead worker had no room for come before those of its successors") {
  // With little room, in a process of its own.
  const process other{here(), [](node& its) {
                        detail::most_result_bytes = std::size_t{1} << 20;
                        const pool p{its, {.workers = 2}};
                        const auto wide = [](int n) { return std::string(2500, static_cast<char>('a' + n % 26)); };
                        const auto f = p.with({.tries = 100, .chunk = 40}).map_async(wide, up_to(4000));
                        for (int round = 0; round < 3; ++round) {
                          expect(harness::eventually([&] { return both_sleep(p); }, 20s));
                          for (const auto& w : p.workers()) ::kill(w.pid, SIGKILL);
                        }
                        const auto all = f.get(50s);
                        expect(all.has_value());
                        for (int n = 0; n < 4000; ++n) expect((*all)[static_cast<std::size_t>(n)] == wide(n));
                      }};
  CHECK(other.join(50s).value().text() == "exit 0");
}

TEST_CASE("a submission that waits for room ends when its process is asked to stop") {
  const queue<int> filled{here()};
  const process other{
      here(),
      [](node& its, const sink<int>& say) {
        detail::most_task_bytes = std::size_t{1} << 20;
        const pool p{its, {.workers = 1}};
        const auto first = p.apply_async(hang, 1);
        std::atomic<int> submitted{0};
        std::thread watch([&] {
          for (int last = -1; last != submitted; std::this_thread::sleep_for(100ms)) last = submitted;
          say.put(submitted);  // none in a tenth of a second: there is no room, or it is slow, and then there will be none
        });
        for (;; ++submitted) {
          const auto f = p.apply_async([](const std::string& s) { return s.size(); }, std::string(50'000, 'x'));
          if (f.ready() && f.get(0s) == errc::stopping) break;
        }
        watch.join();
      },
      sink<int>(filled)};
  CHECK(filled.get(40s).value() >= 0);
  other.terminate();
  CHECK(other.join(20s).has_value());
}

TEST_CASE("a task writes over its pool's queue: each future hears of it, and the pool goes on or ends") {
  pool p{here(), {.name = "spoilt", .workers = 2}};
  const auto spoil = [] {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
      if (line.find("spoilt'") == std::string::npos || line.find("queue") == std::string::npos) continue;
      std::size_t from = 0;
      std::sscanf(line.c_str(), "%zx", &from);
      std::memset(reinterpret_cast<char*>(from) + 640, 0x5a, 256);  // where its messages begin and end (detail/slots_layout.hpp)
    }
    return 1;
  };
  std::vector<future<int>> all;
  for (int i = 0; i < 50; ++i) all.push_back(p.apply_async(square, i));
  all.push_back(p.apply_async(spoil));
  for (int i = 0; i < 50; ++i) all.push_back(p.apply_async(square, i));
  for (const auto& f : all) CHECK_FALSE(f.get(30s) == errc::timed_out);
  // If nothing waited there just then, it is as it was; else it has ended, and starts no workers for ever.
  const auto after = p.apply_async(square, 3).get(20s);
  CHECK((after.has_value() || after == errc::broken));
  if (!after) CHECK(harness::eventually([&] { return p.workers().empty(); }, 20s));
}

TEST_CASE("close while a task waits for its next try starts no worker for nothing") {
  const queue<int> starts{here()};
  pool_options o;
  o.workers = 3;
  o.initializer = {[](const sink<int>& say) { say.put(1); }, sink<int>(starts)};
  pool p{here(), o};
  const auto f = p.with({.tries = 2, .backoff = 500ms}).apply_async([](int) { return ::raise(SIGKILL); }, 1);
  CHECK(harness::eventually([&] { return starts.size() >= 4; }, 20s));  // it has died once
  p.close();
  CHECK(p.join(20s).has_value());
  CHECK(f.get(0s) == errc::worker_lost);
  CHECK(starts.size() <= 9);
}

TEST_CASE("what another thread cancels, whoever waits for it hears at once") {
  const pool p{here(), {.workers = 1}};
  const auto busy = p.apply_async(hang, 1);
  for (const int how : {0, 1, 2}) {
    std::vector<future<int>> all;
    all.push_back(p.apply_async(square, 2));
    std::atomic<bool> waits{false};
    std::thread other([&] {
      harness::eventually([&] { return waits.load(); });
      CHECK(all.front().cancel());
    });
    waits = true;
    // The case's deadline is the limit: without a word they wait for ever.
    if (how == 0) CHECK(all.front().get(deadline::never()) == errc::cancelled);
    else if (how == 1) CHECK(when_any(all) == 0);
    else
      for (const auto i : as_completed(all)) CHECK(i == 0);
    other.join();
  }
  CHECK(busy.cancel());
}

TEST_CASE("what is cancelled in a copy of the process that made the pool does not run") {
  pool p{here(), {.workers = 2}};
  const queue<int> go{here()}, ran{here()}, cancelled{here()}, end{here()};
  const queue<pid_t> runs{here()};
  const auto hangs = p.apply_async(
      [](const sink<pid_t>& say) {
        say.put(::getpid());
        hang(1);
      },
      sink<pid_t>(runs));
  const auto hanging = runs.get(20s).value();
  const auto busy = p.apply_async(
      [](const sink<pid_t>& say, const source<int>& in) {
        say.put(::getpid());
        return in.get();
      },
      sink<pid_t>(runs), source<int>(go));
  CHECK(runs.get(20s).has_value());
  auto copy = process::fork(here(), {.start = start_method::fork}, [&] {
    const auto mine = p.apply_async([](const sink<int>& say) { say.put(7); }, sink<int>(ran));
    cancelled.put(mine.cancel());
    end.get();  // the tasks of one that has ended are passed over in any case
    ::_exit(0);
  });
  CHECK(cancelled.get(20s).value() == 1);
  // The pool hears of it before it hears of this one.
  CHECK(hangs.cancel());
  CHECK(all_gone({hanging}));
  go.put(1);
  CHECK(busy.get(20s).value() == 1);
  p.close();
  CHECK(p.join(20s).has_value());
  CHECK(ran.empty());
  end.put(1);
  CHECK(copy.join(20s).value().text() == "exit 0");
}

TEST_CASE("futures may be moved away while as_completed goes through them") {
  const pool p{here(), {.workers = 2}};
  std::vector<future<int>> all;
  for (int i = 0; i < 100; ++i) all.push_back(p.apply_async(square, i));
  int sum = 0;
  for (const auto i : as_completed(all)) {
    const auto mine = std::move(all[i]);
    sum += mine.get();
  }
  const auto want = squares(100);
  CHECK(sum == std::accumulate(want.begin(), want.end(), 0));
}

TEST_CASE("a callback sees the value though it is taken from the future") {
  pool p{here(), {.workers = 2}};
  std::atomic<int> right{0};
  for (int i = 0; i < 300; ++i) {
    auto f = p.apply_async([](int n) { return std::string(100, static_cast<char>('a' + n % 26)); }, i);
    f.then([&right, i](const result<std::string>& r) {
      right += r.has_value() && *r == std::string(100, static_cast<char>('a' + i % 26));
    });
    CHECK(std::move(f).get().size() == 100);
  }
  p.close();
  p.join();
  CHECK(right == 300);
}

TEST_CASE("each map_async's progress ends with all of it") {
  pool p{here(), {.workers = 2}};
  std::atomic<int> complete{0};
  constexpr int calls = 200;
  for (int i = 0; i < calls; ++i) {
    const auto report = [&](const progress& now) { complete += now.complete(); };
    CHECK(p.with({.chunk = 1, .on_progress = report}).map_async(square, up_to(10)).get() == squares(10));
  }
  CHECK(p.with({.on_progress = [&](const progress& now) { complete += now.complete(); }}).map(square, up_to(3)) == squares(3));
  p.close();
  p.join();
  CHECK(complete >= calls + 1);
}

TEST_CASE("join with a deadline does not wait for a callback longer than that") {
  pool p{here(), {.workers = 1}};
  const queue<int> go{here()};
  p.apply_async(square, 1).then([&](const result<int>&) { go.get(); });
  p.close();
  CHECK(p.join(200ms) == errc::timed_out);
  go.put(1);
  CHECK(p.join(20s).has_value());
}

TEST_CASE("in a worker waiting for several futures fails only if one of the same pool keeps it from ending") {
  const pool own{here(), {.name = "own", .workers = 1}}, other{here(), {.name = "other", .workers = 1}};
  const auto all = [](const pool_handle& mine, const pool_handle& its) {
    std::array<future<int>, 2> f{its.apply_async([](int n) { return n; }, 1), mine.apply_async([](int n) { return n; }, 1)};
    const auto waited = when_all(f, deadline::never());
    f[1].cancel();
    return waited == errc::deadlock;
  };
  const auto any = [](const pool_handle& mine, const pool_handle& its) {
    std::array<future<int>, 2> f{mine.apply_async([](int n) { return n; }, 1), its.apply_async([](int n) { return n; }, 1)};
    const auto waited = when_any(f, deadline::never());
    f[0].cancel();
    return waited ? static_cast<int>(*waited) : -1;
  };
  CHECK(own.apply_async(all, own, other).get(20s).value());
  CHECK(own.apply_async(any, own, other).get(20s).value() == 1);
}

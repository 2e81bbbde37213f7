// SPDX-License-Identifier: BSD-3-Clause
// Barriers: lockstep, the action, and that nobody waits for who does not come.
#include "process_support.hpp"

#include <cloister/actors/barrier.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <mutex>
#include <set>
#include <thread>

using namespace cloister;
using namespace support;

namespace {

struct outcome {
  bool passed = false;
  std::uint64_t index = 0;
  std::string error = {};
};

outcome meet(const barrier& b, deadline until = deadline::never()) {
  const auto got = b.wait(until);
  if (got) return {true, *got, {}};
  return {false, 0, got.error().text()};
}

void meet_once(barrier b, sink<outcome> out) { out.put(meet(b)); }

struct parties {
  parties(const barrier& b, int n, start_method how = start_method::forkserver) {
    for (int i = 0; i < n; ++i) all.emplace_back(here(), by(how), meet_once, b, out);
  }
  // All must have come to that end.
  void end(bool passed, const std::string& text = "") {
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto o = out.get(20s).value();
      CHECK(o.passed == passed);
      CHECK(o.error.find(text) != std::string::npos);
      if (o.passed) CHECK(indices.insert(o.index).second);
    }
  }
  queue<outcome> out{here()};
  std::vector<process> all;
  std::set<std::uint64_t> indices;
};

bool comes_to_wait(const barrier& b, std::size_t n) {
  return harness::eventually([&] { return b.n_waiting() == n; });
}

struct report {
  sink<int> to;
  void operator()() const { to.put(1); }
};

}  // namespace

TEST_CASE("_TestBarrier.test_barrier: five parties pass in lockstep, ten rounds, by every start method") {
  EACH_METHOD(how);
  const int rounds = GENERATE(1, 10);
  const barrier b{here(), 5};
  const queue<int> seen{here()};
  const auto party = [](barrier it, sink<int> out, int n) {
    for (int round = 0; round < n; ++round) {
      out.put(round);
      it.wait();
    }
  };
  std::vector<process> crew;
  for (int i = 0; i < 4; ++i) crew.emplace_back(here(), by(how), party, b, seen, rounds);
  party(b, seen, rounds);
  for (auto& p : crew) CHECK(p.join(20s).value().success());
  for (int i = 0; i < 5 * rounds; ++i) CHECK(seen.try_get().value() == i / 5);
  CHECK(b.n_waiting() == 0);
  CHECK_FALSE(b.broken());
}

TEST_CASE("_TestBarrier.test_wait_return: each party has an index of its own, one of them 0") {
  EACH_METHOD(how);
  const barrier b{here(), 5};
  parties all(b, 5, how);
  all.end(true);
  CHECK(all.indices == std::set<std::uint64_t>{0, 1, 2, 3, 4});
}

TEST_CASE("_TestBarrier.test_action: it runs once a round, before anybody goes on") {
  EACH_METHOD(how);
  const queue<int> done{here()};
  const barrier b{here(), 3, report{done}};
  const auto party = [](barrier it, source<int> log, sink<bool> out) {
    for (int round = 0; round < 20; ++round) {
      const auto index = it.wait();
      if (index == 0) out.put(log.try_get().has_value() && !log.try_get());
      it.wait();  // and the action once more
      if (index == 0) log.get();
    }
  };
  const queue<bool> right{here()};
  std::vector<process> crew;
  for (int i = 0; i < 3; ++i) crew.emplace_back(here(), by(how), party, b, done, right);
  for (int i = 0; i < 20; ++i) CHECK(right.get(20s).value());
  for (auto& p : crew) CHECK(p.join(20s).value().success());
}

TEST_CASE("an action that throws, or whose process dies in it, breaks the barrier") {
  const bool dies = GENERATE(false, true);
  struct fails {
    bool die = false;
    void operator()() const {
      if (die) ::raise(SIGKILL);
      throw std::runtime_error("no paper");
    }
  };
  const barrier b{here(), 2, fails{dies}};
  const queue<outcome> out{here()};
  const process first{here(), meet_once, b, out};
  REQUIRE(comes_to_wait(b, 1));
  process second{here(), {.name = "second"}, meet_once, b, out};
  const auto o = out.get(20s).value();
  CHECK_FALSE(o.passed);
  CHECK(o.error.find(dies ? "killed by SIGKILL" : "process 'second'") != std::string::npos);
  CHECK((dies ? second.join().signal() == SIGKILL : second.join().exception_text() == "no paper"));
  CHECK(b.broken());
}

TEST_CASE("_TestBarrier.test_abort: all who wait hear of it, and whoever comes later") {
  EACH_METHOD(how);
  const barrier b{here(), 5};
  parties four(b, 4, how);
  REQUIRE(comes_to_wait(b, 4));
  b.abort();
  four.end(false, "aborted it");
  CHECK(b.broken());
  CHECK(b.wait(20s) == errc::barrier_broken);
}

TEST_CASE("_TestBarrier.test_reset, test_abort_and_reset: who waits hears of it, the next round passes") {
  EACH_METHOD(how);
  const bool aborted = GENERATE(false, true);
  const barrier b{here(), 3};
  {
    parties two(b, 2, how);
    REQUIRE(comes_to_wait(b, 2));
    if (aborted) b.abort();
    b.reset();
    two.end(false, aborted ? "aborted it" : "reset it");
  }
  CHECK_FALSE(b.broken());
  parties three(b, 3, how);
  three.end(true);
}

TEST_CASE("two who reset it at the same time leave it as new") {
  const barrier b{here(), 1};
  const auto reset_often = [](barrier it) {
    for (int i = 0; i < 1000 / harness::slowdown; ++i) it.reset();
  };
  process one{here(), reset_often, b}, two{here(), reset_often, b};
  CHECK(one.join(50s).value().success());
  CHECK(two.join(50s).value().success());
  CHECK_FALSE(b.broken());
  CHECK(b.wait(20s));
}

TEST_CASE("who has no time passes if it is the last, and breaks it if it is not") {
  CHECK(barrier(here(), 1).wait(deadline::passed()).value() == 0);
  const barrier b{here(), 2};
  CHECK(b.wait(deadline::passed()) == errc::timed_out);
  CHECK(b.broken());
}

TEST_CASE("a forked process that has nothing to do with a barrier breaks none when it fails") {
  const barrier b{here(), 1}, named{here(), 1};
  process p{here(), by(start_method::fork), [](barrier) { ::_exit(3); }, named};
  CHECK(p.join(20s).value().code() == 3);
  CHECK_FALSE(b.broken());
  CHECK(b.wait(20s));
  CHECK(named.broken());
}

TEST_CASE("_TestBarrier.test_timeout, test_default_timeout: who is late breaks it for all") {
  EACH_METHOD(how);
  const bool by_default = GENERATE(false, true);
  const barrier b{here(), 3, {.timeout = by_default ? 50ms : std::chrono::nanoseconds::max()}};
  const auto party = [](barrier it, bool own, sink<errc> out) {
    try {
      if (own) static_cast<void>(it.wait(50ms).value());
      else it.wait();
    } catch (const failure& f) { out.put(f.code()); }
  };
  const queue<errc> out{here()};
  const process one{here(), by(how), party, b, !by_default, out}, two{here(), by(how), party, b, !by_default, out};
  int late = 0;
  for (int i = 0; i < 2; ++i) {
    const auto code = out.get(20s).value();
    CHECK((code == errc::timed_out || code == errc::barrier_broken));
    late += code == errc::timed_out ? 1 : 0;
  }
  CHECK(late >= 1);
  CHECK(b.wait(20s) == errc::barrier_broken);
}

TEST_CASE("_TestBarrier.test_single_thread: a barrier of one never blocks, one of none is an error") {
  const barrier b{here(), 1};
  for (int i = 0; i < 3; ++i) CHECK(b.wait() == 0);
  CHECK(b.parties() == 1);
  CHECK_THROWS_AS((barrier{here(), 0}), failure);
  CHECK(b.wait(20s));
  const barrier two{here(), 2};
  CHECK(two.wait(-1s) == errc::timed_out);
}

TEST_CASE("_TestBarrier.test_thousand: a thousand rounds by five processes, each complete before the next") {
  EACH_METHOD(how);
  const barrier b{here(), 5};
  const int rounds = (how == start_method::forkserver ? 1000 : 100) / harness::slowdown;
  const queue<int> seen{here()};
  const auto party = [](barrier it, sink<int> out, int n) {
    for (int round = 0; round < n; ++round) {
      if (it.wait() == 0) out.put(round);
      it.wait();
    }
  };
  std::vector<process> crew;
  for (int i = 0; i < 5; ++i) crew.emplace_back(here(), by(how), party, b, seen, rounds);
  for (int i = 0; i < rounds; ++i) REQUIRE(seen.get(20s).value() == i);
  for (auto& p : crew) CHECK(p.join(20s).value().success());
}

TEST_CASE("promise 09: a party that is killed breaks the barrier for all, at once, and is named") {
  EACH_METHOD(how);
  const bool waiting = GENERATE(true, false);
  const barrier b{here(), 4};
  parties three(b, 3, how);
  REQUIRE(comes_to_wait(b, 3));
  process late{here(), {.name = "late", .start = how}, [](barrier) { sleep_long(); }, b};
  (waiting ? three.all[0] : late).kill();
  if (waiting) three.all.erase(three.all.begin());
  three.end(false, waiting ? "killed by SIGKILL" : "process 'late'");
  late.kill();
}

TEST_CASE("a party that fails or leaves is not waited for; one that never took part may leave") {
  const barrier b{here(), 2};
  const queue<outcome> out{here()};
  {
    process other{here(), [](barrier it) { it.wait(); }, b};
    CHECK(meet(b).passed);
    CHECK(other.join(20s).value().success());
  }
  CHECK_FALSE(b.broken());  // it left when nobody waited
  {
    // It takes part, and ends while somebody waits for the next round.
    const queue<int> up{here()}, go{here()};
    process leaves{here(),
                   [](barrier it, sink<int> ready, source<int> in) {
                     it.wait();
                     ready.put(1);
                     in.get();
                   },
                   b, up, go};
    process stays{here(),
                  [](barrier it, sink<int> ready, sink<outcome> say) {
                    it.wait();
                    ready.put(1);
                    say.put(meet(it));
                  },
                  b, up, out};
    for (int i = 0; i < 2; ++i) REQUIRE(up.get(20s));  // both are out of the first round
    REQUIRE(comes_to_wait(b, 1));
    go.put(1);
    CHECK(leaves.join(20s).value().success());
    CHECK_FALSE(out.get(20s).value().passed);
    CHECK(stays.join(20s).has_value());
  }
  b.reset();
  process bystander{here(), [](barrier) {}, b};
  bystander.join();
  CHECK_FALSE(b.broken());
  const process one{here(), meet_once, b, out};
  REQUIRE(comes_to_wait(b, 1));
  process fails{here(), {.name = "fails"}, [](barrier) { throw std::runtime_error("lost my way"); }, b};
  fails.join();
  CHECK(out.get(20s).value().error.find("process 'fails'") != std::string::npos);
}

namespace {
std::atomic<int> tidied{0};
}  // namespace

TEST_CASE("a captureless lambda is an action, and travels") {
  const barrier b{here(), 1, [] { ++tidied; }};
  b.wait();
  CHECK(tidied == 1);
  process p{here(),
            [](barrier it) {
              it.wait();
              if (tidied != 1) ::_exit(1);
            },
            b};
  CHECK(p.join(20s).value().success());
}

TEST_CASE("TestSyncManagerTypes.test_barrier: a child reads the parties, and resets it") {
  EACH_METHOD(how);
  const barrier b{here(), 5};
  b.abort();
  process p{here(), by(how),
            [](barrier it) {
              if (it.parties() != 5 || !it.broken()) ::_exit(1);
              it.reset();
            },
            b};
  CHECK(p.join(20s).value().success());
  CHECK_FALSE(b.broken());
}

TEST_CASE("whoever has come out of a round finds nobody waiting any more") {
  const barrier b{here(), 2};
  const queue<int> go{here()};
  process p{here(),
            [](barrier it, source<int> in) {
              for (const int round : in) static_cast<void>(round), it.wait();
            },
            b, go};
  for (int i = 0; i < 300; ++i) {
    go.put(i);
    b.wait();
    REQUIRE(b.n_waiting() == 0);
  }
  go.close();
}

TEST_CASE("several threads of two processes meet, each once a round") {
  const barrier b{here(), 6};
  const auto three = [](barrier it, sink<std::size_t> out) {
    std::vector<std::thread> threads(3);
    for (auto& t : threads)
      t = std::thread([&] {
        for (int round = 0; round < 20; ++round) out.put(it.wait(20s).value());
      });
    for (auto& t : threads) t.join();
  };
  const queue<std::size_t> indices{here()};
  process p{here(), three, b, indices};
  three(b, indices);
  CHECK(p.join(20s).value().success());
  std::array<int, 6> met{};
  for (const auto i : indices.get_many(120)) ++met.at(i);
  CHECK(std::all_of(met.begin(), met.end(), [](int n) { return n == 20; }));
}

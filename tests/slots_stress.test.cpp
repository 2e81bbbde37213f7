// SPDX-License-Identifier: BSD-3-Clause
// Many at once, on few CPUs: processes that are killed and stopped at random, and threads.
#include "slots_crash.hpp"

#include <cloister/detail/spin.hpp>

#include <list>
#include <random>
#include <thread>

#include <sched.h>

using namespace slots_test;

namespace {

/// Zeroed memory that all children share.
template <class T>
T* shared_array(std::size_t n) {
  void* at = ::mmap(nullptr, n * sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  REQUIRE(at != MAP_FAILED);
  return static_cast<T*>(at);
}

enum mark : std::uint8_t { will_send = 1, sent = 2, will_end = 4, ended = 8, ended_twice = 16 };

/// INVARIANT: a message whose put returned is ended (delivered or acknowledged) exactly once; one whose putter was killed in
/// the put at most once; nobody sees a torn one; a death costs a message only if it fell between the last mark before and the
/// first after the victim's own deliver or ack. And nothing leaks: no slot, no lease, no chunk.
struct storm {
  static constexpr std::size_t most = 1 << 20;
  std::unique_ptr<slots> q;
  std::atomic<std::uint8_t>* marks = shared_array<std::atomic<std::uint8_t>>(most);
  std::atomic<std::uint64_t>* next = shared_array<std::atomic<std::uint64_t>>(1);
  std::atomic<unsigned>* wrong = shared_array<std::atomic<unsigned>>(1);
  std::atomic<bool>* enough = shared_array<std::atomic<bool>>(1);

  static std::size_t size_of(std::uint64_t n) { return n % 50 == 49 ? 40'000 : 8 + n % 300; }

  void produce(actor_id me) const {
    while (!*enough) {
      const auto n = next->fetch_add(1);
      if (n >= most) return;
      marks[n] |= will_send;
      if (n % 10 == 0) {
        const auto m = message(n, size_of(n));
        const std::span<const std::byte> one(m);
        if (!q->put_many(me, {&one, 1}, deadline::never())) return;
      } else if (!q->put(me, message(n, size_of(n)), deadline::never())) {
        return;
      }
      marks[n] |= sent;
    }
  }

  void consume(actor_id me) const {
    for (;;) {
      auto t = q->take(me, deadline::never());
      if (!t) return;
      const auto n = number_of(*t);
      if (n >= most) {
        ++*wrong;
        t->deliver();
        continue;
      }
      if (n % 2 == 0) {
        const auto l = t->lease();
        marks[n] |= will_end;
        if (n % 7 == 0 && l->redelivered == 0) {
          (void)q->give_back(me, *l);
          continue;
        }
        if (!q->ack(me, *l)) ++*wrong;
      } else {
        marks[n] |= will_end;
        t->deliver();
      }
      if (marks[n].fetch_or(ended) & ended) marks[n] |= ended_twice;
    }
  }

  /// `kills` deaths, `stops` stops, among `producers` + `consumers` processes; the dead are replaced.
  void run(unsigned producers, unsigned consumers, unsigned kills, unsigned stops, std::uint64_t seed) {
    struct worker {
      harness::child process;
      actor_id me;
      bool producer;
      bool stopped = false;
    };
    std::list<worker> workers;
    std::mt19937_64 random(seed);
    actor_id next_id = 1;
    const auto start = [&](bool producer) {
      const actor_id me = next_id++;
      workers.push_back({harness::child([=, this] { producer ? produce(me) : consume(me); }), me, producer});
    };
    for (unsigned i = 0; i < producers; ++i) start(true);
    for (unsigned i = 0; i < consumers; ++i) start(false);
    while (kills + stops > 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
      auto& w = *std::next(workers.begin(), static_cast<std::ptrdiff_t>(random() % workers.size()));
      if (random() % (kills + stops) < stops) {
        --stops;
        w.process.signal(SIGSTOP);
        w.stopped = true;
      } else {
        --kills;
        const bool producer = w.producer;
        w.process.kill();
        const std::array<actor_id, 1> dead{w.me};
        workers.remove_if([&](const worker& other) { return &other == &w; });
        q->repair(dead);
        start(producer);
      }
      for (auto& other : workers)
        if (other.stopped && random() % 8 == 0) other.process.signal(SIGCONT);
      q->look();
    }
    *enough = true;
    for (auto& w : workers) w.process.signal(SIGCONT);
    for (auto& w : workers)
      if (w.producer) REQUIRE(w.process.wait().success());
    q->close(next_id, close_mode::drain);
    for (auto& w : workers)
      if (!w.producer) REQUIRE(w.process.wait().success());
  }

  void check() const {
    REQUIRE(*wrong == 0);
    const auto n = std::min<std::uint64_t>(*next, most);
    std::uint64_t ends = 0;
    std::uint64_t unsure = 0;
    for (std::uint64_t i = 0; i < n; ++i) {
      const std::uint8_t m = marks[i];
      INFO("message " << i << " of " << n << " has marks " << unsigned{m});
      REQUIRE_FALSE(m & ended_twice);
      if (m & sent) REQUIRE((m & (ended | will_end)) != 0);
      ends += (m & ended) != 0;
      unsure += (m & sent) != 0 && (m & ended) == 0;
    }
    REQUIRE(ends > 100);
    REQUIRE(unsure <= 400);  // deaths between two marks: less than there were kills
    REQUIRE_FALSE(q->unfinished());
    REQUIRE(leaks(*q) == "");
    REQUIRE(lies(*q) == "");
  }
};

void storm_of(unsigned producers, unsigned consumers, unsigned kills, unsigned stops, const slots_options& options) {
  storm s;
  s.q = make(options);
  s.run(producers, consumers, kills, stops, 12345);
  s.check();
}

}  // namespace

TEST_CASE("slots: a storm of kills and stops loses nothing and doubles nothing", "[deadline:240]") {
  const unsigned n = 300 / harness::slowdown;
  SECTION("2 producers, 2 consumers") { storm_of(2, 2, n, n / 4, {.max_items = 20'000}); }
  SECTION("4 producers, 4 consumers, 16 items") { storm_of(4, 4, n, n / 4, {.max_items = 16}); }
  SECTION("3 producers, 1 consumer, little memory") { storm_of(3, 1, n, n / 4, {.max_bytes = 256 * 1024}); }
  SECTION("without spinning") {
    spin_budget::set_spinning(false);
    storm_of(2, 3, n, n / 4, {.max_items = 4});
    spin_budget::set_spinning(true);
  }
  SECTION("all on one CPU, at idle priority") {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    ::sched_setaffinity(0, sizeof one, &one);
    const sched_param none{};
    ::sched_setscheduler(0, SCHED_IDLE, &none);
    storm_of(2, 2, n / 2, n / 8, {.max_items = 100});
  }
}

TEST_CASE("slots: threads of one process put and take what others put, each message once, in order", "[deadline:120]") {
  // INVARIANT: each consumer sees the numbers of each producer rise; together they see each number once.
  const bool spinning = GENERATE(true, false);
  const std::uint64_t max_items = GENERATE(0U, 1U, 7U);
  spin_budget::set_spinning(spinning);
  auto q = make({.max_items = max_items});
  constexpr unsigned producers = 3, consumers = 3;
  const std::uint64_t each = (max_items == 1 ? 2000 : 10'000) / harness::slowdown;
  std::vector<std::atomic<int>> seen(producers * each);
  std::atomic<unsigned> wrong{0};
  std::vector<std::thread> puts;
  std::vector<std::thread> gets;
  for (unsigned p = 0; p < producers; ++p)
    puts.emplace_back([&, p] {
      for (std::uint64_t i = 0; i < each; ++i) {
        const auto n = p * each + i;
        if (!q->put(static_cast<actor_id>(p + 1), message(n, n % 100 == 0 ? 10'000 : 8 + n % 64), deadline::never())) ++wrong;
      }
    });
  for (unsigned c = 0; c < consumers; ++c)
    gets.emplace_back([&, c] {
      const auto me = static_cast<actor_id>(c + 100);
      std::vector<std::uint64_t> last(producers, 0);
      for (;;) {
        auto some = q->take_many(me, c + 1, deadline::never());
        if (!some) return;
        for (auto& t : *some) {
          const auto n = number_of(t);
          if (n >= seen.size()) {
            ++wrong;
            continue;
          }
          ++seen[n];
          if (n % each + 1 <= last[n / each]) ++wrong;
          last[n / each] = n % each + 1;
          if (n % 5 == 0) (void)q->ack(me, *t.lease());
        }
        q->deliver_many(*some);
      }
    });
  for (auto& t : puts) t.join();
  REQUIRE(q->wait_idle(30s).has_value());
  q->close(1, close_mode::drain);
  for (auto& t : gets) t.join();
  spin_budget::set_spinning(true);
  REQUIRE(wrong == 0);
  REQUIRE(std::all_of(seen.begin(), seen.end(), [](const auto& n) { return n == 1; }));
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("promise 16: a message whose put returned before another's began comes out before it", "[deadline:60]") {
  // Ticks number the moments at which puts begin and return; the order in which messages come out must not contradict them.
  const std::uint64_t max_items = GENERATE(0U, 5U);
  auto q = make({.message_size = 64, .max_items = max_items});
  constexpr unsigned producers = 4;
  const std::uint64_t each = 20'000 / harness::slowdown;
  std::atomic<std::uint64_t> ticks{1};
  std::vector<std::uint64_t> began(producers * each);
  std::vector<std::uint64_t> returned(producers * each);
  std::vector<std::thread> threads;
  for (unsigned p = 0; p < producers; ++p)
    threads.emplace_back([&, p] {
      for (std::uint64_t i = 0; i < each; ++i) {
        const auto n = p * each + i;
        began[n] = ticks++;
        (void)q->put(static_cast<actor_id>(p + 1), message(n, 64), deadline::never());
        returned[n] = ticks++;
      }
    });
  std::vector<std::uint64_t> order;
  while (order.size() < producers * each) order.push_back(await(*q));
  for (auto& t : threads) t.join();
  std::uint64_t latest_begin = 0;
  for (const auto n : order) {
    REQUIRE(n < began.size());
    REQUIRE(returned[n] > latest_begin);  // else a later put's message came out before
    latest_begin = std::max(latest_begin, began[n]);
  }
}

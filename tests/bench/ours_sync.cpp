// SPDX-License-Identifier: BSD-3-Clause
// Mutexes, semaphores and events as contestants: alone, contended, from hand to hand, waking many, and how much memory many of them take.
#include <cloister/actors/actors.hpp>
#include <cloister/queue.hpp>

#include <algorithm>
#include <vector>

#include <unistd.h>

#include "memory_use.hpp"
#include "ours.hpp"

using namespace cloister;

namespace bench {
namespace {

// Nanoseconds for one `pair()`: the median of samples of a thousand.
template <class Pair>
figures time_pairs(const job& j, Pair pair) {
  constexpr int each = 1000;
  std::vector<double> samples;
  for (const auto until = now_ns() + to_ns(j.seconds); now_ns() < until || samples.size() < 5;) {
    const auto begin = now_ns();
    for (int i = 0; i < each; ++i) pair();
    samples.push_back(static_cast<double>(now_ns() - begin) / each);
  }
  return {{"median", quantile(samples, 0.5)}};
}

template <class Lock>
void lock_again_and_again(Lock lock, event go, event over, sink<long> out) {
  go.wait();
  long count = 0;
  for (; !over.is_set(); ++count) {
    lock.lock();
    lock.unlock();
  }
  out.put(count);
}

// How often all of them together had it in a second.
template <class Lock>
figures contend(const job& j, const Lock& lock) {
  const event go{here()}, over{here()};
  const queue<long> counts{here()};
  std::vector<process> crew;
  for (int i = 0; i < j.count; ++i) crew.emplace_back(here(), lock_again_and_again<Lock>, lock, go, over, counts);
  this_process::sleep_for(std::chrono::milliseconds(100));
  const auto begin = now_ns();
  go.set();
  this_process::sleep_for(std::chrono::nanoseconds(to_ns(j.seconds)));
  over.set();
  const auto seconds = static_cast<double>(now_ns() - begin) / 1e9;
  long all = 0;
  for (int i = 0; i < j.count; ++i) all += counts.get();
  join_all(crew);
  return {{"rate", static_cast<double>(all) / seconds}};
}

}  // namespace

figures our_free_mutex(const job& j) {
  const mutex m{here()};
  return time_pairs(j, [&] {
    m.lock();
    m.unlock();
  });
}
figures our_free_semaphore(const job& j) {
  const semaphore s{here()};
  return time_pairs(j, [&] {
    s.acquire();
    s.release();
  });
}
figures our_free_event(const job& j) {
  const event e{here()};
  return time_pairs(j, [&] {
    e.set();
    e.clear();
  });
}

figures our_contended_mutex(const job& j) { return contend(j, mutex{here()}); }
figures our_contended_semaphore(const job& j) { return contend(j, semaphore{here()}); }

// Two processes give each other the token of one of two semaphores: half of each round.
figures our_hand_over(const job& j) {
  const semaphore there{here(), 0}, back{here(), 0};
  process other{here(),
                [](semaphore mine, semaphore yours) {
                  for (;;) {
                    mine.acquire();
                    yours.release();
                  }
                },
                there, back};
  std::vector<double> samples;
  for (const auto until = now_ns() + to_ns(j.seconds); now_ns() < until || samples.size() < 5;) {
    work_for(to_ns(300e-6));  // the other side is asleep then: the token comes by way of the actor
    const auto begin = now_ns();
    there.release();
    back.acquire();
    samples.push_back(static_cast<double>(now_ns() - begin) / 2e3);
  }
  other.kill();
  return {{"median", quantile(samples, 0.5)}, {"p99", quantile(samples, 0.99)}};
}

// From `set` to the last waiter's next statement.
figures our_event_for_many(const job& j) {
  std::vector<double> samples;
  for (const auto until = now_ns() + to_ns(j.seconds); now_ns() < until || samples.size() < 3;) {
    const event e{here()}, over{here()};
    const queue<std::int64_t> out{here()};
    std::vector<process> crew;
    for (int i = 0; i < j.count; ++i)
      crew.emplace_back(
          here(),
          [](event it, event end, sink<std::int64_t> when) {
            when.put(0);
            it.wait();
            when.put(now_ns());
            end.wait();  // or it would be the ends of processes that are measured
          },
          e, over, out);
    for (int i = 0; i < j.count; ++i) out.get();
    this_process::sleep_for(std::chrono::milliseconds(50));
    const auto begin = now_ns();
    e.set();
    std::int64_t last = 0;
    for (int i = 0; i < j.count; ++i) last = std::max(last, out.get());
    samples.push_back(static_cast<double>(last - begin) / 1e6);
    over.set();
    join_all(crew);
  }
  return {{"median", quantile(samples, 0.5)}};
}

figures our_many_mutexes(const job& j) {
  std::vector<mutex> all;
  const auto used = [] { return anonymous_kib(::getpid()) + memfd_kib(); };
  const auto before = used();
  for (int i = 0; i < j.count; ++i) all.emplace_back(here());
  for (const auto& m : all) m.lock();
  for (const auto& m : all) m.unlock();
  return {{"all", (used() - before) / 1024}};
}

}  // namespace bench

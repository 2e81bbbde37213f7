// SPDX-License-Identifier: BSD-3-Clause
// The pool as a contestant, and as its upper limit a plain pool of threads.
#include <cloister/actors/pool.hpp>
#include <cloister/queue.hpp>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>

#include <unistd.h>

#include "memory_use.hpp"
#include "ours.hpp"

using namespace cloister;

namespace bench {
namespace {

int same(int x) { return x; }

// A second of work for a processor of today, more or less.
double busy(int x) {
  double r = x;
  for (long i = 0; i < 20'000'000; ++i) r = r * 1.000000001 + 1e-9;
  return r;
}

std::vector<int> up_to(int n) {
  std::vector<int> v(static_cast<std::size_t>(n));
  std::iota(v.begin(), v.end(), 0);
  return v;
}

double seconds_of(const std::function<void()>& what) {
  const auto begin = now_ns();
  what();
  return static_cast<double>(now_ns() - begin) / 1e9;
}

// The best of several, as what else runs here only makes it slower; the time of one is `what`'s.
template <class What>
double rate_of(const job& j, int count, What what) {
  std::vector<double> rates;
  for (const auto until = now_ns() + to_ns(j.seconds); now_ns() < until || rates.size() < 3;)
    rates.push_back(count / seconds_of(what));
  return quantile(rates, 0.5);
}

pool_options workers(int n) {
  pool_options o;
  o.workers = n;
  return o;
}

class threads {
 public:
  explicit threads(int n) {
    for (int i = 0; i < n; ++i) all_.emplace_back([this] { run(); });
  }
  ~threads() {
    {
      const std::scoped_lock guard(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    for (auto& t : all_) t.join();
  }
  void put(std::function<void()> task) {
    {
      const std::scoped_lock guard(mutex_);
      tasks_.push_back(std::move(task));
    }
    changed_.notify_one();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return over_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      const auto task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      lock.lock();
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool over_ = false;
  std::vector<std::thread> all_;
};

}  // namespace

figures our_pool_map(const job& j) {
  const pool p{here(), workers(2)};
  const auto numbers = up_to(j.count);
  return {{"rate", rate_of(j, j.count, [&] {
             if (p.map(same, numbers) != numbers) throw std::runtime_error("a result is wrong");
           })}};
}

figures our_pool_imap_unordered(const job& j) {
  const pool p{here(), workers(2)};
  const auto numbers = up_to(j.count);
  return {{"rate", rate_of(j, j.count, [&] {
             long sum = 0;
             for (const int x : p.imap_unordered(same, numbers)) sum += x;
             if (sum != std::accumulate(numbers.begin(), numbers.end(), 0L)) throw std::runtime_error("a result is wrong");
           })}};
}

figures our_pool_apply(const job& j) {
  const pool p{here(), workers(2)};
  static_cast<void>(p.apply(same, 1));
  std::vector<double> samples;
  for (const auto until = now_ns() + to_ns(j.seconds); now_ns() < until || samples.size() < 5;)
    samples.push_back(seconds_of([&] { static_cast<void>(p.apply(same, 1)); }) * 1e6);
  return {{"median", quantile(samples, 0.5)}, {"p99", quantile(samples, 0.99)}};
}

figures our_pool_large(const job& j) {
  const pool p{here(), workers(2)};
  const std::vector<char> large(j.bytes, 'x');
  const auto echo = [](std::vector<char> v) { return v; };
  static_cast<void>(p.apply(echo, large));
  std::vector<double> samples;
  for (const auto until = now_ns() + to_ns(j.seconds); now_ns() < until || samples.size() < 5;)
    samples.push_back(seconds_of([&] { static_cast<void>(p.apply(echo, large)); }) * 1e6);
  return {{"median", quantile(samples, 0.5)}};
}

// The same way with nothing but two queues.
figures queues_large(const job& j) {
  const queue<std::vector<char>> there{here()}, back{here()};
  process echo{here(),
               [](source<std::vector<char>> in, sink<std::vector<char>> out) {
                 for (auto& v : in) out.put(v);
               },
               there, back};
  const std::vector<char> large(j.bytes, 'x');
  std::vector<double> samples;
  for (const auto until = now_ns() + to_ns(j.seconds); now_ns() < until || samples.size() < 5;)
    samples.push_back(seconds_of([&] {
                        there.put(large);
                        static_cast<void>(back.get());
                      }) *
                      1e6);
  there.close();
  return {{"median", quantile(samples, 0.5)}};
}

figures our_pool_speed_up(const job&) {
  const pool p{here(), workers(2)};
  const auto numbers = up_to(16);
  static_cast<void>(p.map(same, numbers));
  double sum = 0;
  const auto alone = seconds_of([&] {
    for (const int x : numbers) sum += busy(x);
  });
  const auto both = seconds_of([&] {
    for (const double x : p.with({.chunk = 1}).map(busy, numbers)) sum -= x;
  });
  if (sum > 1e-3 || sum < -1e-3) throw std::runtime_error("a result is wrong");
  return {{"times", alone / both}};
}

figures threads_speed_up(const job&) {
  const auto numbers = up_to(16);
  std::vector<double> out(numbers.size());
  double sum = 0;
  const auto alone = seconds_of([&] {
    for (const int x : numbers) sum += busy(x);
  });
  const auto both = seconds_of([&] {
    threads t(2);
    for (const int x : numbers) t.put([&out, x] { out[static_cast<std::size_t>(x)] = busy(x); });
  });
  for (const double x : out) sum -= x;
  if (sum > 1e-3 || sum < -1e-3) throw std::runtime_error("a result is wrong");
  return {{"times", alone / both}};
}

figures threads_map(const job& j) {
  threads t(2);
  const auto numbers = up_to(j.count);
  std::vector<int> out(numbers.size());
  return {{"rate", rate_of(j, j.count, [&] {
             std::mutex mutex;
             std::condition_variable changed;
             std::size_t left = 8;
             for (std::size_t part = 0; part < 8; ++part)
               t.put([&, part] {
                 const auto from = numbers.size() * part / 8, to = numbers.size() * (part + 1) / 8;
                 for (auto i = from; i < to; ++i) out[i] = same(numbers[i]);
                 const std::scoped_lock guard(mutex);
                 if (--left == 0) changed.notify_one();
               });
             std::unique_lock lock(mutex);
             changed.wait(lock, [&] { return left == 0; });
           })}};
}

// From the constructor until each worker is there, and what they all have in memory.
figures our_pool_start(const job& j) {
  std::vector<double> samples;
  double all = 0;
  for (int i = 0; i < 5; ++i) {
    const auto begin = now_ns();
    const pool p{here(), workers(j.count)};
    while (p.workers().size() < static_cast<std::size_t>(j.count)) std::this_thread::sleep_for(std::chrono::microseconds(100));
    samples.push_back(static_cast<double>(now_ns() - begin) / 1e6);
    static_cast<void>(p.map(same, up_to(10 * j.count)));
    all = 0;
    for (const auto& w : p.workers()) all += private_kib(w.pid);
  }
  return {{"start", quantile(samples, 0.5)}, {"all", all / 1024 + memfd_kib() / 1024}};
}

// So many tasks wait while the one worker is busy.
figures our_pool_backlog(const job& j) {
  const auto used = [] { return anonymous_kib(::getpid()) + memfd_kib(); };
  const pool p{here(), workers(1)};
  static_cast<void>(p.apply(same, 1));
  const queue<int> go{here()};
  const auto first = p.apply_async([](source<int> in) { return in.get(); }, source<int>(go));
  const auto before = used();
  std::vector<future<int>> all;
  all.reserve(static_cast<std::size_t>(j.count));
  for (int i = 0; i < j.count; ++i) all.push_back(p.apply_async(same, i));
  const auto after = used();
  go.put(1);
  when_all(all);
  return {{"all", (after - before) / 1024}};
}

}  // namespace bench

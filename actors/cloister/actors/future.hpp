// SPDX-License-Identifier: BSD-3-Clause
// What a task will give: a value or an error, later.
//
//   future<int> f = p.apply_async(square, 10);
//   int x = f.get();                     // waits; throws the task's failure
//   if (auto y = f.get(1s)) use(*y);     // a result: timed_out while it runs on
//   f.then([](const result<int>& r) { ... });       // on a thread of its own
//   int z = co_await p.apply_async(square, 12);     // goes on on that thread
//
// Move-only; one thread at a time, but different futures on different threads. It belongs to the process that submitted the task. Dropping it
// does not stop the task; `cancel` does. Blocks: get and wait. Errors: threw (the task's exception: `error::exit()` has type and text),
// worker_lost (its process ended in the middle: with the exit), timed_out (get's deadline, or the task's own, which says so), cancelled,
// undecodable, invalid, closed and peer_down (the pool, or the process that made it, has ended); of waiting: stopping, interrupted,
// deadlock (inside a task of the same pool).
#pragma once

#include <cloister/actors/detail/inbox.hpp>
#include <cloister/deadline.hpp>
#include <cloister/error.hpp>

#include <coroutine>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <ranges>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace cloister {

template <class T>
class [[nodiscard]] future;

namespace detail {

/// The results of one call, and what they are made to: T.
template <class T>
class value_job : public job {
 public:
  using job::job;
  /// REQUIRES: done().
  virtual const result<T>& outcome() const = 0;
  virtual result<T>& outcome() = 0;

  /// From now on callbacks may be looking at the outcome.
  void show() noexcept { shown_.store(true, std::memory_order_relaxed); }
  bool is_shown() const noexcept { return shown_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> shown_{false};
};

/// One task.
template <class T>
class apply_job final : public value_job<T> {
 public:
  using value_job<T>::value_job;
  bool reads_once() const noexcept override {
    if constexpr (std::is_void_v<T>) return true;
    else return read_once<T>;
  }
  void read(std::size_t, decoder& in) override {
    if constexpr (std::is_void_v<T>) outcome_.emplace();
    else outcome_.emplace(in.value<T>());
    in.finish();
  }
  void fail(std::size_t, const error& why) override { outcome_.emplace(why); }
  const result<T>& outcome() const override { return *outcome_; }
  result<T>& outcome() override { return *outcome_; }

 private:
  std::optional<result<T>> outcome_;
};

/// Many, in order.
template <class R>
class map_job final
    : public value_job<std::conditional_t<std::is_void_v<R>, void, std::vector<std::conditional_t<std::is_void_v<R>, int, R>>>> {
  using element = std::conditional_t<std::is_void_v<R>, int, R>;
  // What two threads may write side by side: not the bits of a vector<bool>.
  static constexpr bool direct = std::is_default_constructible_v<element> && !std::is_same_v<element, bool>;
  using stored = std::conditional_t<direct, element, std::optional<element>>;

 public:
  using whole = std::conditional_t<std::is_void_v<R>, void, std::vector<element>>;
  map_job(job_origin from, std::size_t items) : value_job<whole>(std::move(from), items) {
    if constexpr (!std::is_void_v<R>) values_.resize(items);
    if (items == 0) finish();
  }
  bool reads_once() const noexcept override { return read_once<element>; }
  void read(std::size_t item, decoder& in) override {
    if constexpr (!std::is_void_v<R>) values_[item] = in.value<R>();
    in.finish();
  }
  void fail(std::size_t item, const error& why) override {
    const std::scoped_lock guard(this->mutex());
    if (first_failed_ && *first_failed_ < item) return;
    first_failed_ = item;
    why_ = std::make_unique<error>(why);
  }
  const result<whole>& outcome() const override { return const_cast<map_job*>(this)->outcome(); }
  result<whole>& outcome() override {
    const std::scoped_lock guard(this->mutex());
    if (!outcome_) finish();
    return *outcome_;
  }

 private:
  void finish() {
    if (why_) {
      outcome_.emplace(*why_);
    } else if constexpr (std::is_void_v<R>) {
      outcome_.emplace();
    } else if constexpr (direct) {
      outcome_.emplace(std::move(values_));
    } else {
      std::vector<element> all;
      all.reserve(values_.size());
      for (auto& v : values_) all.push_back(*std::move(v));
      values_ = {};
      outcome_.emplace(std::move(all));
    }
  }
  std::vector<stored> values_;
  std::optional<std::size_t> first_failed_;  // guarded by mutex()
  std::unique_ptr<error> why_;
  std::optional<result<whole>> outcome_;
};

struct future_access {
  template <class T>
  static future<T> make(std::shared_ptr<value_job<T>> of) {
    return future<T>(std::move(of));
  }
  template <class T>
  static job& of(const future<T>& f) {
    return f.get_job();
  }
  template <class T>
  static std::shared_ptr<job> shared(const future<T>& f) {
    static_cast<void>(f.get_job());
    return f.job_;
  }
};

/// Blocks until one of those is done: its index.
result<std::size_t> wait_for_one(std::span<job* const> jobs, deadline until);
result<void> wait_for_all(std::span<job* const> jobs, deadline until);
/// Has `call` called on the callbacks' thread once it is done.
void call_when_done(const std::shared_ptr<job>& of, std::function<void()> call);

}  // namespace detail

template <class T>
class [[nodiscard]] future {
 public:
  using value_type = T;

  /// None: every operation is `failure{invalid}`.
  future() = default;
  explicit operator bool() const noexcept { return job_ != nullptr; }

  /// Its value is in, or it has failed.
  bool ready() const {
    auto& j = get_job();
    if (!j.done()) j.home().look();
    return j.done();
  }
  /// Ready, and it has a value.
  bool successful() const { return ready() && typed().outcome().has_value(); }
  void wait() const { wait(deadline::never()).value(); }
  result<void> wait(deadline until) const {
    auto& j = get_job();
    if (j.done()) return {};
    return j.home().wait(
        j, [&j] { return j.done(); }, until);
  }

  /// Waits, and gives the value; throws the failure. From a named future a reference, again and again; from a temporary one the value, moved;
  /// if callbacks may be looking at it (`then`), a copy, and `failure{invalid}` if there can be none.
  std::add_lvalue_reference_t<const T> get() const& {
    wait();
    return std::as_const(typed()).outcome().value();
  }
  T get() && {
    wait();
    return take().value();
  }
  result<T> get(deadline until) const& {
    if (auto waited = wait(until); !waited) return waited.error();
    return std::as_const(typed()).outcome();
  }
  result<T> get(deadline until) && {
    if (auto waited = wait(until); !waited) return waited.error();
    return take();
  }

  /// Nobody wants it: it is ready at once, with `errc::cancelled`. A task that has not begun never runs (from a handle that
  /// has travelled: once the pool has heard of it); the worker of one that runs is killed and replaced. False if it was ready already.
  bool cancel() const {
    auto& j = get_job();
    return !j.done() && j.home().cancel(j);
  }

  /// Has `call(const result<T>&)` called once, on the thread of this process's callbacks, which runs one after the other. What it throws
  /// is logged. The pool's `join` waits for it.
  template <std::invocable<const result<T>&> Call>
  const future& then(Call call) const {
    auto held = job_;
    typed().show();
    detail::call_when_done(job_, [held, call = std::move(call)]() mutable { call(std::as_const(*held).outcome()); });
    return *this;
  }

  /// `co_await`: goes on on the thread of the callbacks.
  auto operator co_await() const& noexcept { return awaiting<std::add_lvalue_reference_t<const T>>{this}; }
  auto operator co_await() && noexcept { return awaiting<T>{this}; }

 private:
  friend struct detail::future_access;
  template <class Value>
  struct awaiting {
    const future* of;
    bool await_ready() const { return of->ready(); }
    void await_suspend(std::coroutine_handle<> waiter) const {
      detail::call_when_done(of->job_, [waiter] { waiter.resume(); });
    }
    Value await_resume() const {
      if constexpr (std::is_reference_v<Value>) return std::as_const(of->typed()).outcome().value();
      else return of->take().value();
    }
  };
  explicit future(std::shared_ptr<detail::value_job<T>> of) : job_(std::move(of)) {}
  detail::job& get_job() const {
    if (!job_) throw failure(errc::invalid, "a future that is of no task: default constructed, or moved from");
    return *job_;
  }
  // The value itself, or a copy where callbacks may be looking at it.
  result<T> take() const {
    auto& outcome = typed().outcome();
    if (!typed().is_shown()) return std::move(outcome);
    if constexpr (std::is_void_v<T> || std::is_copy_constructible_v<T>) return outcome;
    else throw failure(errc::invalid, typed().what() + ": a value that cannot be copied is taken, and a callback looks at it");
  }
  detail::value_job<T>& typed() const { return static_cast<detail::value_job<T>&>(get_job()); }
  future(const future&) = delete;
  future& operator=(const future&) = delete;

 public:
  future(future&&) noexcept = default;
  future& operator=(future&&) noexcept = default;

 private:
  std::shared_ptr<detail::value_job<T>> job_;
};

namespace detail {
template <std::ranges::forward_range Futures>
std::vector<job*> jobs_of(const Futures& futures) {
  std::vector<job*> all;
  for (const auto& f : futures) all.push_back(&future_access::of(f));
  return all;
}
}  // namespace detail

/// Waits until all of them are ready, successful or not.
template <std::ranges::forward_range Futures>
result<void> when_all(const Futures& futures, deadline until) {
  return detail::wait_for_all(detail::jobs_of(futures), until);
}
template <std::ranges::forward_range Futures>
void when_all(const Futures& futures) {
  when_all(futures, deadline::never()).value();
}
/// Waits until one of them is ready: its index.
template <std::ranges::forward_range Futures>
result<std::size_t> when_any(const Futures& futures, deadline until) {
  return detail::wait_for_one(detail::jobs_of(futures), until);
}
template <std::ranges::forward_range Futures>
std::size_t when_any(const Futures& futures) {
  return when_any(futures, deadline::never()).value();
}

/// `for (std::size_t i : as_completed(futures)) use(futures[i].get());`: the index of each, in the order in which they become ready.
class as_completed {
 public:
  template <std::ranges::forward_range Futures>
  explicit as_completed(const Futures& futures, deadline until = deadline::never()) : until_(until) {
    for (const auto& f : futures) add(detail::future_access::shared(f));
  }
  class iterator {
   public:
    using value_type = std::size_t;
    using difference_type = std::ptrdiff_t;
    explicit iterator(as_completed& of) : of_(&of) { ++*this; }
    std::size_t operator*() const noexcept { return current_; }
    /// Throws `failure{timed_out}` when the deadline passes before the next one.
    iterator& operator++() {
      end_ = of_->left_ == 0;
      if (!end_) current_ = of_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& i, std::default_sentinel_t) noexcept { return i.end_; }

   private:
    as_completed* of_;
    std::size_t current_ = 0;
    bool end_ = false;
  };
  iterator begin() { return iterator(*this); }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  struct completed {
    std::mutex mutex;
    std::deque<std::size_t> indices;  // guarded by mutex
  };
  void add(std::shared_ptr<detail::job> of);
  std::size_t next();
  std::shared_ptr<completed> completed_ = std::make_shared<completed>();
  std::vector<std::shared_ptr<detail::job>> open_;  // by index; null when it was given
  std::size_t first_open_ = 0;                      // those before it were given
  std::size_t left_ = 0;
  deadline until_;
};

}  // namespace cloister

// SPDX-License-Identifier: BSD-3-Clause
// Code that waits for events without a thread of its own: coroutines over an inbox with selective receive, as Erlang's processes have.
//
// A `task<T>` runs when it is awaited, and its awaiter goes on when it is done; exceptions pass through. An `inbox` holds events in order;
// `co_await inbox.take(filter)` takes the oldest that the filter likes, and waits for one if there is none. Owner of both: one object, one
// thread at a time. Nothing here blocks; an inbox has at most one waiting coroutine.
#pragma once

#include <algorithm>
#include <coroutine>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <optional>
#include <utility>

namespace cloister::internal {

template <class T>
class task;

namespace task_detail {
struct promise_base {
  std::coroutine_handle<> awaiter = std::noop_coroutine();
  std::exception_ptr error;

  std::suspend_always initial_suspend() noexcept { return {}; }
  auto final_suspend() noexcept {
    struct resume_awaiter {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<>) noexcept { return next; }
      void await_resume() noexcept {}
      std::coroutine_handle<> next;
    };
    return resume_awaiter{awaiter};
  }
  void unhandled_exception() noexcept { error = std::current_exception(); }
};
template <class T>
struct promise : promise_base {
  std::optional<T> value;
  task<T> get_return_object() noexcept;
  void return_value(T v) { value.emplace(std::move(v)); }
  T take() { return *std::move(value); }
};
template <>
struct promise<void> : promise_base {
  task<void> get_return_object() noexcept;
  void return_void() noexcept {}
  void take() noexcept {}
};
}  // namespace task_detail

template <class T = void>
class [[nodiscard]] task {
 public:
  using promise_type = task_detail::promise<T>;
  explicit task(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}
  task(task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  task& operator=(task&&) = delete;
  ~task() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) noexcept {
    handle_.promise().awaiter = awaiter;
    return handle_;
  }
  T await_resume() {
    if (handle_.promise().error) std::rethrow_exception(handle_.promise().error);
    return handle_.promise().take();
  }

  /// For the outermost task: runs until it waits for the first time, or is done.
  void begin() { handle_.resume(); }
  bool done() const noexcept { return handle_.done(); }
  /// REQUIRES: done(). Its value, or what it threw.
  T result() { return await_resume(); }

 private:
  std::coroutine_handle<promise_type> handle_;
};

template <class T>
task<T> task_detail::promise<T>::get_return_object() noexcept {
  return task<T>(std::coroutine_handle<promise>::from_promise(*this));
}
inline task<void> task_detail::promise<void>::get_return_object() noexcept {
  return task<void>(std::coroutine_handle<promise>::from_promise(*this));
}

template <class Event>
class inbox {
 public:
  using filter = std::function<bool(const Event&)>;

  /// Puts an event and, unless called from within that coroutine, runs whoever waits for it until it waits again.
  void put(Event event) {
    events_.push_back(std::move(event));
    run();
  }

  auto take(filter likes) {
    struct awaiter {
      inbox& from;
      bool await_ready() { return from.find(); }
      void await_suspend(std::coroutine_handle<> who) noexcept { from.waiting_ = who; }
      Event await_resume() { return from.take_found(); }
    };
    likes_ = std::move(likes);
    return awaiter{*this};
  }

  /// Whether there is one that the filter likes.
  bool holds(const filter& likes) const { return std::any_of(events_.begin(), events_.end(), likes); }

  /// What nobody has taken.
  std::deque<Event> drain() { return std::exchange(events_, {}); }

  /// Marks that the outermost coroutine is being begun: events that come meanwhile wait.
  template <class Begin>
  void begin(Begin run_it) {
    running_ = true;
    run_it();
    running_ = false;
    run();
  }

 private:
  bool find() {
    for (found_ = 0; found_ < events_.size(); ++found_)
      if (likes_(events_[found_])) return true;
    return false;
  }
  Event take_found() {
    const auto at = events_.begin() + static_cast<std::ptrdiff_t>(found_);
    Event event = std::move(*at);
    events_.erase(at);
    return event;
  }
  void run() {
    if (running_) return;
    running_ = true;
    while (waiting_ && find()) std::exchange(waiting_, nullptr).resume();
    running_ = false;
  }

  std::deque<Event> events_;
  filter likes_;
  std::size_t found_ = 0;
  std::coroutine_handle<> waiting_;
  bool running_ = false;
};

}  // namespace cloister::internal

// SPDX-License-Identifier: BSD-3-Clause
// A typed mailbox between any number of processes: FIFO, bounded by memory, and sound whoever is killed at whatever moment.
//
//   queue<job> jobs{here};                                   // made in a place
//   process p{here, [](source<job> in) { for (auto& j : in.leases()) work(*j); }, jobs};
//   jobs.put({1, "x"});  jobs.join();  jobs.close();
//
// `queue`, `source` (its taking end) and `sink` (its putting end) are handles: small copyable values, all operations const, callable
// from any thread of any process of the node; they travel as arguments and inside messages. The queue lives while a handle does, or
// a message that carries one.
// When a process dies: a message it was putting does not exist; one it was getting goes to the next; one it had leased
// goes to the next and says `redelivered()`; nobody waits for it. Order: put A returned before put B began => A comes out first.
// Every call without a deadline throws `failure`; with one, or named `try_`, it returns `result`. Errors: closed, stopping, interrupted,
// too_large, no_memory, no_descriptors, broken, not_attached, invalid (a handle that names nothing, a value that has no encoding); of a
// message that cannot be read, which is then consumed: undecodable, wrong_type, gone; timed_out and would_block from calls with deadlines.
#pragma once

#include <cloister/deadline.hpp>
#include <cloister/detail/mailbox.hpp>
#include <cloister/detail/queue_core.hpp>
#include <cloister/error.hpp>
#include <cloister/place.hpp>
#include <cloister/wire.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace cloister {

struct queue_options {
  std::string name = {};                           ///< for messages; "queue-N" if empty
  std::size_t max_items = 0;                       ///< messages waiting at once; 0: as many as memory holds
  std::size_t max_bytes = std::size_t{256} << 20;  ///< memory it may grow to; taken only when needed
  unsigned max_deliveries = 0;                     ///< leased so often (at most 15) and never acknowledged: a dead letter; 0: never
  bool close_with_last_sink =
      false;  ///< closes (drain) when the last `sink` of it, in all processes, is gone; hold one while starting producers
};

enum class close_how : std::uint8_t {
  drain,  ///< nothing more goes in; what is there comes out
  now,    ///< what is there is discarded, too
};

/// Which operations a handle has: a queue both, its ends one.
enum class queue_part : std::uint8_t { both, sink, source };
template <class T, queue_part Part>
class basic_queue;
namespace detail {  // not members: Clang 14 does not find those in the requires-clause of a body that stands outside its class
template <queue_part Part>
concept can_put = Part != queue_part::source;
template <queue_part Part>
concept can_take = Part != queue_part::sink;
}  // namespace detail

/// A queue: made in a place, converts to `sink<T>` and `source<T>`.
template <class T>
using queue = basic_queue<T, queue_part::both>;
/// The end that puts.
template <class T>
using sink = basic_queue<T, queue_part::sink>;
/// The end that takes.
template <class T>
using source = basic_queue<T, queue_part::source>;

/// A message taken and not yet acknowledged. Move-only; one thread. Its destructor gives the message back to the queue, where the next
/// taker sees it as redelivered; so does the death of its process.
template <class T>
class [[nodiscard]] lease {
 public:
  T& operator*() noexcept { return value_; }
  T* operator->() noexcept { return &value_; }
  const T& operator*() const noexcept { return value_; }
  const T* operator->() const noexcept { return &value_; }

  /// True if it was given to somebody before.
  bool redelivered() const noexcept { return held_.deliveries() > 0; }
  /// How often before.
  unsigned deliveries() const noexcept { return held_.deliveries(); }
  /// Done: the message is gone for good. A second ack or give_back is nothing.
  void ack() { held_.ack(); }
  /// Back to the queue, for the next taker.
  void give_back() { held_.give_back(); }

 private:
  template <class, queue_part>
  friend class basic_queue;
  lease(detail::held_message held, T value) : held_(std::move(held)), value_(std::move(value)) {}
  detail::held_message held_;
  T value_;
};

template <class T, queue_part Part>
class [[nodiscard]] basic_queue {
 public:
  using value_type = T;

  /// None: every operation is `failure{invalid}`.
  basic_queue() = default;
  /// Throws `failure`: no_memory, no_descriptors, not_attached, invalid.
  [[nodiscard]] explicit basic_queue(const place& where, queue_options options = {}) requires(Part == queue_part::both);
  /// The narrower handle of a queue.
  template <queue_part Whole>
    requires(Whole == queue_part::both && Part != Whole)
  basic_queue(const basic_queue<T, Whole>& whole)
      : handle_(whole.handle().object(), role) {}  // NOLINT(google-explicit-constructor)

  // Putting: queue and sink.

  /// Puts. Blocks while the queue is full: `max_items` messages, or `max_bytes`.
  void put(const T& value) const requires detail::can_put<Part> { put(value, deadline::never()).value(); }
  /// The same with a deadline. A put that fails has not consumed its argument.
  result<void> put(const T& value, deadline until) const requires detail::can_put<Part>;
  result<void> try_put(const T& value) const requires detail::can_put<Part> { return put(value, deadline::passed()); }
  /// For values that are owners (pipe_end, owned_fd, unique_ptr): consumed if the put succeeds.
  void put(T&& value) const requires detail::can_put<Part> { put(std::move(value), deadline::never()).value(); }
  result<void> put(T&& value, deadline until) const requires detail::can_put<Part>;
  result<void> try_put(T&& value) const requires detail::can_put<Part> { return put(std::move(value), deadline::passed()); }
  /// Puts all, in order, with fewer notifications than one by one.
  template <std::ranges::input_range Range>
  void put_many(const Range& values) const requires detail::can_put<Part> {
    std::size_t count = 0;
    put_all(values, deadline::never(), count).value();
  }
  /// How many were put before the deadline; an error only if none was.
  template <std::ranges::input_range Range>
  result<std::size_t> put_many(const Range& values, deadline until) const requires detail::can_put<Part>;

  // Taking: queue and source.

  /// Takes the oldest message; it is the caller's from then on. Blocks while there is none.
  T get() const requires detail::can_take<Part> { return get(deadline::never()).value(); }
  result<T> get(deadline until) const requires detail::can_take<Part>;
  result<T> try_get() const requires detail::can_take<Part> { return get(deadline::passed()); }
  /// What is there, at most `most`; waits for the first.
  std::vector<T> get_many(std::size_t most) const requires detail::can_take<Part> {
    return get_many(most, deadline::never()).value();
  }
  result<std::vector<T>> get_many(std::size_t most, deadline until) const requires detail::can_take<Part>;

  /// Takes the oldest message on loan: it comes back to the queue unless it is acknowledged.
  lease<T> take() const requires detail::can_take<Part> { return take(deadline::never()).value(); }
  result<lease<T>> take(deadline until) const requires detail::can_take<Part>;
  result<lease<T>> try_take() const requires detail::can_take<Part> { return take(deadline::passed()); }
  /// A message that was leased `max_deliveries` times in vain, on loan like any other; would_block if there is none, closed if there will
  /// never be.
  result<lease<T>> try_take_dead_letter() const requires detail::can_take<Part>;

  /// Waits until every message that was put has been taken and, if leased, acknowledged.
  void join() const { join(deadline::never()).value(); }
  result<void> join(deadline until) const { return detail::queue_join(object(), until); }

  class iterator;
  class lease_range;
  /// `for (T& message : in)`: gets until the queue is closed and drained.
  iterator begin() const requires detail::can_take<Part> { return iterator(*this); }
  std::default_sentinel_t end() const requires detail::can_take<Part> { return {}; }
  /// `for (auto& l : in.leases())`: the end of the body acknowledges; leaving it early (break, return, exception, death) gives back.
  lease_range leases() const requires detail::can_take<Part> { return lease_range(*this); }

  // All three.

  const std::string& name() const { return object().name(); }
  /// Ends it for everybody. Idempotent. Who waits gets `closed` (after draining): when nothing is left that could still come, which is
  /// what other processes have on loan; a process that waits while it has the last loan itself, in whatever thread, gets `closed`, too.
  void close(close_how how = close_how::drain) const { detail::queue_close(object(), how == close_how::now); }
  bool closed() const { return detail::queue_closed(object()); }
  /// Messages waiting, exact when nobody is putting or taking; after a put has returned it is at least 1 until somebody takes.
  std::size_t size() const { return detail::queue_size(object()); }
  bool empty() const { return size() == 0; }
  /// True if a put would have to wait for a place among the messages. (A large one may wait for memory besides.)
  bool full() const { return detail::queue_full(object()); }
  /// `max_items`, or nothing if only memory bounds it.
  std::optional<std::size_t> capacity() const { return detail::queue_capacity(object()); }

  explicit operator bool() const noexcept { return static_cast<bool>(handle_); }
  friend bool operator==(const basic_queue& a, const basic_queue& b) noexcept { return a.handle_.object() == b.handle_.object(); }
  /// For the library's own use.
  const detail::object_handle& handle() const noexcept { return handle_; }

 private:
  template <class>
  friend struct codec;
  static constexpr unsigned role = Part == queue_part::both   ? detail::no_role
                                   : Part == queue_part::sink ? detail::sink_role
                                                              : detail::source_role;
  explicit basic_queue(detail::object_handle handle) : handle_(std::move(handle)) {}
  detail::attachment& object() const { return detail::object_of(handle_); }
  template <class Range>
  result<void> put_all(const Range& values, deadline until, std::size_t& count) const;
  result<lease<T>> loan(detail::taken_message& message) const;

  detail::object_handle handle_;
};

/// Python's spelling: what `get` returns counts as unfinished until `task_done`, and `join` waits for that. In C++, prefer leases().
/// A process that dies between get and task_done gives its message to the next, flagged nowhere: it simply comes again.
template <class T>
class [[nodiscard]] joinable_queue {
 public:
  joinable_queue() = default;
  [[nodiscard]] explicit joinable_queue(const place& where, queue_options options = {}) : queue_(where, std::move(options)) {}

  void put(const T& value) const { queue_.put(value); }
  result<void> put(const T& value, deadline until) const { return queue_.put(value, until); }
  result<void> try_put(const T& value) const { return queue_.try_put(value); }
  void put(T&& value) const { queue_.put(std::move(value)); }
  result<void> put(T&& value, deadline until) const { return queue_.put(std::move(value), until); }
  result<void> try_put(T&& value) const { return queue_.try_put(std::move(value)); }
  T get() const { return get(deadline::never()).value(); }
  result<T> get(deadline until) const;
  result<T> try_get() const { return get(deadline::passed()); }
  /// Acknowledges the oldest message that this process got and has not marked done. Throws `failure{invalid}` if there is none.
  void task_done() const { detail::ack_oldest(detail::object_of(queue_.handle())); }
  void join() const { queue_.join(); }
  result<void> join(deadline until) const { return queue_.join(until); }

  const std::string& name() const { return queue_.name(); }
  void close(close_how how = close_how::drain) const { queue_.close(how); }
  bool closed() const { return queue_.closed(); }
  std::size_t size() const { return queue_.size(); }
  bool empty() const { return queue_.empty(); }
  bool full() const { return queue_.full(); }
  std::optional<std::size_t> capacity() const { return queue_.capacity(); }
  explicit operator bool() const noexcept { return static_cast<bool>(queue_); }
  friend bool operator==(const joinable_queue& a, const joinable_queue& b) noexcept { return a.queue_ == b.queue_; }

 private:
  template <class>
  friend struct codec;
  queue<T> queue_;
};

}  // namespace cloister

#include <cloister/detail/queue-inl.hpp>

// SPDX-License-Identifier: BSD-3-Clause
// Bodies of queue.hpp.
#pragma once

#include <cloister/queue.hpp>

namespace cloister {

template <class T, queue_part Part>
basic_queue<T, Part>::basic_queue(const place&, queue_options options) requires(Part == queue_part::both)
    : handle_(detail::make_queue(options, fingerprint<T>(), is_flat<T> ? flat_size<T> : 0)) {
  static_assert(travels<T>);
}

template <class T, queue_part Part>
result<void> basic_queue<T, Part>::put(const T& value, deadline until) const requires detail::can_put<Part> {
  if constexpr (is_flat<T>) {
    return detail::put_bytes(object(), std::as_bytes(std::span<const T, 1>(&value, 1)), until);
  } else {
    return detail::send_encoded(object(), value, [&](detail::outgoing& message) { return message.put(until); });
  }
}

template <class T, queue_part Part>
result<void> basic_queue<T, Part>::put(T&& value, deadline until) const requires detail::can_put<Part> {
  auto done = put(std::as_const(value), until);
  if (done) static_cast<void>(T(std::move(value)));  // an owner (pipe_end, owned_fd) lets go now: the message has it
  return done;
}

// Ends at the first that cannot be put, and says why; `count` were.
template <class T, queue_part Part>
template <class Range>
result<void> basic_queue<T, Part>::put_all(const Range& values, deadline until, std::size_t& count) const {
  if constexpr (is_flat<T> && std::ranges::contiguous_range<Range> && std::same_as<std::ranges::range_value_t<Range>, T>) {
    const auto bytes = std::as_bytes(std::span(std::ranges::data(values), std::ranges::size(values)));
    return detail::put_many_bytes(object(), bytes, sizeof(T), until, count);
  } else {
    for (const auto& value : values) {
      if (auto done = put(static_cast<const T&>(value), until); !done) return done;
      ++count;
    }
    return {};
  }
}

template <class T, queue_part Part>
template <std::ranges::input_range Range>
result<std::size_t> basic_queue<T, Part>::put_many(const Range& values, deadline until) const requires detail::can_put<Part> {
  std::size_t count = 0;
  auto done = put_all(values, until, count);
  if (!done && count == 0) return done.error();
  return count;
}

template <class T, queue_part Part>
result<T> basic_queue<T, Part>::get(deadline until) const requires detail::can_take<Part> {
  detail::taken_message message(object());
  if (auto taken = message.take("get", until); !taken) return taken.error();
  return message.template deliver<T>();
}

template <class T, queue_part Part>
result<std::vector<T>> basic_queue<T, Part>::get_many(std::size_t most, deadline until) const requires detail::can_take<Part> {
  auto taken = detail::take_many(object(), most, until);
  if (!taken) return taken.error();
  return detail::deliver_many<T>(object(), *std::move(taken));
}

template <class T, queue_part Part>
result<lease<T>> basic_queue<T, Part>::loan(detail::taken_message& message) const {
  auto held = message.template lease<T>();
  if (!held) return held.error();
  return lease<T>(std::move(held->first), std::move(held->second));
}

template <class T, queue_part Part>
result<lease<T>> basic_queue<T, Part>::take(deadline until) const requires detail::can_take<Part> {
  detail::taken_message message(object());
  if (auto taken = message.take("take", until); !taken) return taken.error();
  return loan(message);
}

template <class T, queue_part Part>
result<lease<T>> basic_queue<T, Part>::try_take_dead_letter() const requires detail::can_take<Part> {
  detail::taken_message message(object());
  if (auto taken = message.take_dead(); !taken) return taken.error();
  return loan(message);
}

/// Input iterator over messages; the end is reached when the queue is closed and drained.
template <class T, queue_part Part>
class basic_queue<T, Part>::iterator {
 public:
  using value_type = T;
  using difference_type = std::ptrdiff_t;
  explicit iterator(basic_queue from) : from_(std::move(from)) { ++*this; }
  T& operator*() const { return *current_; }
  iterator& operator++() {
    current_.reset();  // not kept while waiting: it may own what others wait for
    auto next = from_.get(deadline::never());
    if (next) current_.emplace(*std::move(next));
    else if (!(next == errc::closed)) throw failure(next.error());
    return *this;
  }
  void operator++(int) { ++*this; }
  friend bool operator==(const iterator& i, std::default_sentinel_t) { return !i.current_; }

 private:
  basic_queue from_;
  mutable std::optional<T> current_;
};

/// A range of leases: advancing acknowledges the current one, destruction gives it back.
template <class T, queue_part Part>
class basic_queue<T, Part>::lease_range {
 public:
  class iterator {
   public:
    using value_type = lease<T>;
    using difference_type = std::ptrdiff_t;
    explicit iterator(basic_queue from) : from_(std::move(from)) { next(); }
    lease<T>& operator*() const { return *current_; }
    iterator& operator++() {
      current_->ack();
      next();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& i, std::default_sentinel_t) { return !i.current_; }

   private:
    void next() {
      current_.reset();
      auto taken = from_.take(deadline::never());
      if (taken) current_.emplace(*std::move(taken));
      else if (!(taken == errc::closed)) throw failure(taken.error());
    }
    basic_queue from_;
    mutable std::optional<lease<T>> current_;
  };
  explicit lease_range(basic_queue from) : from_(std::move(from)) {}
  iterator begin() const { return iterator(from_); }
  std::default_sentinel_t end() const { return {}; }

 private:
  basic_queue from_;
};

template <class T>
result<T> joinable_queue<T>::get(deadline until) const {
  auto& q = detail::object_of(queue_.handle());
  detail::taken_message message(q);
  if (auto taken = message.take("get", until); !taken) return taken.error();
  auto held = message.template lease<T>();
  if (!held) return held.error();
  detail::remember_unfinished(q, std::move(held->first));
  return std::move(held->second);
}

// Handles travel as the number of what was pinned or handed over, and the object's own number.
template <class T, queue_part Part>
struct codec<basic_queue<T, Part>> {
  using element = T;
  static constexpr std::uint64_t fingerprint = 0x71'75'65'75'65'00ULL + static_cast<std::uint64_t>(Part);
  static void put(encoder& out, const basic_queue<T, Part>& q) {
    detail::queue_to_message(out, q.handle(), basic_queue<T, Part>::role);
  }
  static basic_queue<T, Part> get(decoder& in) {
    return basic_queue<T, Part>(detail::queue_from_message(in, basic_queue<T, Part>::role, cloister::fingerprint<T>()));
  }
};

template <class T>
struct codec<joinable_queue<T>> {
  using element = T;
  static constexpr std::uint64_t fingerprint = codec<queue<T>>::fingerprint;
  static void put(encoder& out, const joinable_queue<T>& q) { codec<queue<T>>::put(out, q.queue_); }
  static joinable_queue<T> get(decoder& in) {
    joinable_queue<T> q;
    q.queue_ = codec<queue<T>>::get(in);
    return q;
  }
};

}  // namespace cloister

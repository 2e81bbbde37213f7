// SPDX-License-Identifier: BSD-3-Clause
// Waiting for whichever comes first: any number of mailboxes, processes and descriptors.
//
//   if (auto r = wait_any({jobs, control, worker, socket_fd}, 5s)) switch (*r) { case 0: ... }
//   auto [index, job] = take_any(urgent, normal);                          // takes from one of several queues
//   ready_fd watch(jobs);  epoll_ctl(loop, EPOLL_CTL_ADD, watch.fd(), ...);  // in a loop of one's own: call watch.ready() when readable
//
// Ready means: a get or recv would not wait (there is a message, or the end), a process has ended, a descriptor is readable. Among
// several that are ready the choice rotates. Another taker may be faster: follow with try_get. Threads: any, each call by itself.
#pragma once

#include <cloister/deadline.hpp>
#include <cloister/detail/attachment.hpp>
#include <cloister/error.hpp>
#include <cloister/fd.hpp>
#include <cloister/pipe.hpp>
#include <cloister/process.hpp>
#include <cloister/queue.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <ranges>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace cloister {
/// Anything that can be waited for. Made by conversion; refers to what it was made from, which must live as long.
class waitable {
 public:
  template <class T, queue_part Part>
    requires(Part != queue_part::sink)
  waitable(const basic_queue<T, Part>& q) : object_(q.handle().object()) {}  // NOLINT(google-explicit-constructor)
  template <class Send, class Recv>
    requires(!std::is_void_v<Recv>)
  waitable(const pipe_end<Send, Recv>& end)  // NOLINT(google-explicit-constructor)
      : object_(end.handle().object()), direction_(end.handle().role() == detail::end_a ? 1 : 0) {}
  waitable(const process& p) : fd_(p.sentinel()) {}  // NOLINT(google-explicit-constructor)
  waitable(const owned_fd& fd) : fd_(fd.get()) {}    // NOLINT(google-explicit-constructor)
  waitable(int fd) : fd_(fd) {}                      // NOLINT(google-explicit-constructor)
  /// For the library's own use: a queue.
  explicit waitable(const detail::object_handle& queue) : object_(queue.object()) {}

 private:
  friend class ready_fd;
  friend class wait_set;
  bool is_mailbox() const noexcept { return object_ != nullptr; }
  bool ready() const;  // REQUIRES: is_mailbox()
  void arm() const;    // REQUIRES: is_mailbox()
  int bell() const;    // REQUIRES: is_mailbox()

  std::shared_ptr<detail::attachment> object_;  // a mailbox, or
  unsigned direction_ = 0;
  int fd_ = -1;  // a descriptor
};

namespace detail {
template <class... Types>
using last_of = std::tuple_element_t<sizeof...(Types) - 1, std::tuple<Types...>>;
template <class Range>
concept range_of_waitables =
    std::ranges::input_range<const Range> && std::convertible_to<std::ranges::range_reference_t<const Range>, waitable> &&
    !std::same_as<std::ranges::range_value_t<Range>, waitable>;
}  // namespace detail

/// The index of one that is ready. Blocks until there is one. Errors: timed_out, would_block, stopping, interrupted, no_descriptors.
result<std::size_t> wait_any(std::span<const waitable> what, deadline until);
inline result<std::size_t> wait_any(std::initializer_list<waitable> what, deadline until) {
  return wait_any(std::span(what.begin(), what.size()), until);
}
inline std::size_t wait_any(std::initializer_list<waitable> what) { return wait_any(what, deadline::never()).value(); }
/// The indices of all that are ready, at least one, in order.
result<std::vector<std::size_t>> wait_ready(std::span<const waitable> what, deadline until);
inline result<std::vector<std::size_t>> wait_ready(std::initializer_list<waitable> what, deadline until) {
  return wait_ready(std::span(what.begin(), what.size()), until);
}

/// The same for a range of queues, ends, processes or descriptors.
template <detail::range_of_waitables Range>
result<std::size_t> wait_any(const Range& what, deadline until) {
  return wait_any(std::span<const waitable>(std::vector<waitable>(std::ranges::begin(what), std::ranges::end(what))), until);
}
template <detail::range_of_waitables Range>
std::size_t wait_any(const Range& what) {
  return wait_any(what, deadline::never()).value();
}
template <detail::range_of_waitables Range>
result<std::vector<std::size_t>> wait_ready(const Range& what, deadline until) {
  return wait_ready(std::span<const waitable>(std::vector<waitable>(std::ranges::begin(what), std::ranges::end(what))), until);
}

/// A descriptor for a loop of one's own (epoll, poll, libevent, ...): readable when the mailbox, process or descriptor may be ready.
/// Move-only. After each wake-up, and once before the first wait, call ready(): it says whether there is something, and arms it again.
class [[nodiscard]] ready_fd {
 public:
  /// Throws `failure{no_descriptors}`.
  explicit ready_fd(waitable what);
  int fd() const noexcept { return epoll_.get(); }
  bool ready();

 private:
  waitable what_;
  owned_fd epoll_;
};

/// Takes one message from one of several queues of the same type: its index and the message. `closed` when all of them are.
template <class T>
result<std::pair<std::size_t, T>> take_any(std::span<const source<T>> from, deadline until);
template <class T, queue_part Part, queue_part... Parts>
std::pair<std::size_t, T> take_any(const basic_queue<T, Part>& first, const basic_queue<T, Parts>&... more) {
  const std::array<source<T>, 1 + sizeof...(more)> all{first, more...};
  return take_any<T>(std::span<const source<T>>(all), deadline::never()).value();
}
/// `take_any(urgent, normal, 5s)`: the deadline comes last, as everywhere.
template <class T, queue_part Part, class... More>
  requires(sizeof...(More) > 0 && std::convertible_to<const detail::last_of<More...>&, deadline>)
result<std::pair<std::size_t, T>> take_any(const basic_queue<T, Part>& first, const More&... more) {
  const std::tuple<const More&...> rest(more...);
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    const std::array<source<T>, sizeof...(More)> all{first, std::get<I>(rest)...};
    return take_any<T>(std::span<const source<T>>(all), std::get<sizeof...(More) - 1>(rest));
  }
  (std::make_index_sequence<sizeof...(More) - 1>());
}

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {
/// Where to begin looking, so that none of several ready ones is always the last.
std::size_t next_rotation() noexcept;
/// wait_ready; `operation` is for the errors' texts.
result<std::vector<std::size_t>> wait_ready(std::string_view operation, std::span<const waitable> what, deadline until);
}  // namespace detail

template <class T>
result<std::pair<std::size_t, T>> take_any(std::span<const source<T>> from, deadline until) {
  for (bool waited = false;; waited = true) {
    const std::size_t first = detail::next_rotation();
    std::vector<waitable> open;
    for (std::size_t i = 0; i < from.size(); ++i) {
      const std::size_t at = (first + i) % from.size();
      auto got = from[at].try_get();
      if (got) return std::pair<std::size_t, T>(at, *std::move(got));
      if (got == errc::would_block) open.emplace_back(from[at]);
      else if (!(got == errc::closed)) return got.error();
    }
    if (open.empty()) return {errc::closed, "take_any: all queues are closed"};
    if (waited && until.has_passed()) return {errc::timed_out, "take_any: others were faster each time"};
    if (auto ready = detail::wait_ready("take_any", open, until); !ready) return ready.error();
  }
}

}  // namespace cloister

// SPDX-License-Identifier: BSD-3-Clause
// A flag that processes set, clear and wait for. Before you use one: to say that something is there, put it on a queue; to say that nothing
// more comes, close it. An event fits what is true or not, and what everybody is to notice. docs/synchronisation.md compares them.
//
//   event ready{here};
//   process p{here, [](event e) { e.wait(); ... }, ready};
//   ready.set();
//
// A handle: copies name the same event, and travel as arguments and in messages.
// Threads and processes: any of the node; `set` also in a signal handler. Blocks: `wait`, until it is set; `failure{stopping}` when this
// process is asked to stop. Whoever waits when `set` is called comes out of it, although a `clear` may follow at once. Nobody owns it, so
// no death leaves it in a wrong state, and `set` waits for nobody; one that is killed within `set` has done nothing, or set it, and then all wake when
// its death is known. (One that is stopped there leaves them asleep for a quarter of a second.)
#pragma once

#include <cloister/actors/detail/sync_handle.hpp>
#include <cloister/deadline.hpp>
#include <cloister/error.hpp>

#include <string>

namespace cloister {

struct event_options {
  std::string name = {};  ///< for error texts; at most 39 characters of it are kept
};

class [[nodiscard]] event : public detail::sync_handle {
 public:
  event() = default;
  /// Not set.
  [[nodiscard]] explicit event(const place& where, const event_options& options = {});

  bool is_set() const;
  /// Wakes all who wait. Async-signal-safe; throws only where there is no object or no node.
  void set() const;
  void clear() const;
  /// Until it is set. Throws `failure`: stopping, interrupted, not_attached, gone.
  void wait() const { wait(deadline::never()).value(); }
  /// `timed_out`, or as above.
  result<void> wait(deadline until) const;

 private:
  friend struct detail::sync_codec<event, detail::sync_kind::event>;
  using sync_handle::sync_handle;
};

template <>
struct codec<event> : detail::sync_codec<event, detail::sync_kind::event> {};

}  // namespace cloister

// SPDX-License-Identifier: BSD-3-Clause
// A place where a number of processes or threads wait for each other, round after round. Before you use one: where one process hands its
// part on and goes ahead, a queue does it without holding anybody up. docs/synchronisation.md compares them.
//
//   barrier b{here, 3};                                           // or: barrier b{here, 3, [] { std::puts("all there"); }};
//   process p{here, [](barrier shared) { work();  shared.wait();  more_work(); }, b};
//
// A handle: copies name the same barrier, and travel as arguments and in messages, with the action.
// Threads and processes: any of the node. Blocks: `wait`, until `parties` wait. A party that does not come breaks the barrier for all, at
// once: one whose deadline passes, that is asked to stop, whose action throws, that is killed or fails (whoever holds a handle counts as
// expected), or that ends normally, or lets go of its last handle, although it took part in the round before and somebody waits: so keep
// the handle from round to round. A last handle that goes while an exception passes counts as a failure, also where that is caught. All
// then get `barrier_broken`, which says who it was, until somebody calls `reset`; whose deadline it was gets `timed_out`.
#pragma once

#include <cloister/actors/detail/barrier_action.hpp>
#include <cloister/actors/detail/sync_handle.hpp>
#include <cloister/deadline.hpp>
#include <cloister/error.hpp>

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>

namespace cloister {

struct barrier_options {
  std::string name = {};  ///< for error texts; at most 39 characters of it are kept
  /// Of each `wait` that is given no deadline.
  std::chrono::nanoseconds timeout = std::chrono::nanoseconds::max();
};

class [[nodiscard]] barrier : public detail::sync_handle {
 public:
  static constexpr std::size_t most_parties = (1U << 20) - 1;

  barrier() = default;
  /// `failure{invalid}` for no parties, or more than `most_parties`.
  [[nodiscard]] barrier(const place& where, std::size_t parties, const barrier_options& options = {})
      : barrier(where, parties, detail::action_ptr(), options) {}
  /// `action()` runs in the party that comes last, before any of them goes on: a captureless lambda, or a struct of what travels.
  template <class F>
    requires std::is_invocable_v<const F&>
  [[nodiscard]] barrier(const place& where, std::size_t parties, F action, const barrier_options& options = {})
      : barrier(where, parties, detail::make_action(std::move(action)), options) {}

  /// Waits for the others; which of them this one was, from 0, in this round. Throws `failure`: barrier_broken, timed_out after the time of
  /// the options, stopping, interrupted, not_attached, gone; no_descriptors and no_memory where there is none for waiting; whatever the
  /// action throws, in the party that runs it.
  std::size_t wait() const;
  /// One that has passed: whoever comes last passes all the same. A later one includes the way to the first process and back.
  result<std::size_t> wait(deadline until) const;
  /// Breaks it. Waits until the first process has done so. Throws `failure`: not_attached, gone, no_descriptors, stopping.
  void abort() const;
  /// Whoever waits gets `barrier_broken`; from then on it is as new. Waits and throws as `abort`.
  void reset() const;

  std::size_t parties() const;
  /// How many wait now. A hint.
  std::size_t n_waiting() const;
  bool broken() const;

 private:
  friend struct codec<barrier>;
  barrier(const place& where, std::size_t parties, const detail::action_ptr& action, const barrier_options& options);
  barrier(detail::object_handle handle, detail::action_ptr action);

  detail::action_ptr action_;
};

template <>
struct codec<barrier> {
  static constexpr std::uint64_t fingerprint = 0x73'79'6e'63'00ULL + static_cast<std::uint64_t>(detail::sync_kind::barrier);
  static void put(encoder& out, const barrier& b);
  static barrier get(decoder& in);
};

}  // namespace cloister

// SPDX-License-Identifier: BSD-3-Clause
// The node's CAF actor system: supervisor actors, and a proxy actor for each supervised process, which ends when its process has, for the
// true reason. Supervisors hear of it as CAF actors do, by their monitors.
//
// Owner: the hub, which makes it when it is first needed, on its own thread with all signals blocked; CAF's threads inherit that. Everything
// here is called on that thread, returns at once and never waits for an actor; the destructor waits until all have ended. CAF's header is
// only in the source.
#pragma once

#include <cloister/fd.hpp>
#include <cloister/internal/supervision.hpp>

#include <cstdint>
#include <memory>
#include <vector>

namespace cloister::internal {

class control_plane {
 public:
  /// What actors ask of the hub. Called on CAF's threads; returns at once.
  class host {
   public:
    virtual ~host() = default;
    /// Answered by `started` or `refused` with the same numbers, and once by `ended` after `started`.
    virtual void start_child(std::uint64_t supervisor, std::uint64_t child, std::shared_ptr<const void> recipe) = 0;
    virtual void signal_child(std::uint32_t incarnation, int signal) = 0;
    virtual void supervisor_ended(std::uint64_t supervisor) = 0;
  };

  explicit control_plane(host& hub);
  ~control_plane();
  control_plane(const control_plane&) = delete;
  control_plane& operator=(const control_plane&) = delete;

  /// `exit_channel`: as of a process; told when all children run, or why not, and how it ended.
  void make(std::uint64_t supervisor, supervisor_options options, std::vector<child_spec> children, owned_fd exit_channel);
  /// `answer_to`: gets one encoded `answer` (control.hpp). `lives`: whether the process named in the call is alive.
  void call(std::uint64_t supervisor, supervision_call what, owned_fd answer_to, bool lives);
  /// Its owner is gone, and its children are being killed: it ends and restarts nothing.
  void abandon(std::uint64_t supervisor);

  void started(std::uint64_t supervisor, child_started what);
  void refused(std::uint64_t supervisor, child_refused what);
  void ended(std::uint32_t incarnation, const exit_status& exit);
  /// No note to it after this one arrives.
  void forget(std::uint64_t supervisor);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace cloister::internal

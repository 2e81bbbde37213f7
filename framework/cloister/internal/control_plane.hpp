// SPDX-License-Identifier: BSD-3-Clause
// The node's CAF actor system: supervisor actors, and a proxy actor for each supervised process, which ends when its process has, for the
// true reason. Supervisors hear of it as CAF actors do, by their monitors; a supervisor within another is watched the same way.
//
// Owner: the hub, which makes it when it is first needed, on its own thread with all signals blocked; CAF's threads inherit that.
// Everything here is called on that thread, returns at once and never waits for an actor; the destructor waits until all have ended.
// CAF's header is only in the source.
#pragma once

#include <cloister/fd.hpp>
#include <cloister/internal/service.hpp>
#include <cloister/internal/supervision.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace cloister::internal {

/// Who wanted one process started, and hears of it: `refused`, or `started`, perhaps `ready`, and `ended`. Used on the hub's thread; each
/// returns at once.
class start_listener {
 public:
  virtual ~start_listener() = default;
  /// False if that cannot be passed on: then `ended` says so.
  virtual bool started(std::uint32_t incarnation, std::int32_t pid, const std::string& name) noexcept = 0;
  virtual void refused(cloister::error why) = 0;
  virtual void ready(std::string said) = 0;
  /// `why`: for what the node killed it; empty if it did not.
  virtual void ended(const exit_status& exit, const std::string& why) = 0;
};

class control_plane {
 public:
  /// What actors ask of the hub, `root` being the supervisor that a process owns. Called on CAF's threads; returns at once.
  class host {
   public:
    virtual ~host() = default;
    virtual void start_child(std::uint64_t root, std::shared_ptr<const void> recipe, std::shared_ptr<start_listener> ear) = 0;
    virtual void part_from(std::shared_ptr<const void> recipe, const exit_status& exit) = 0;
    virtual void signal_child(std::uint32_t incarnation, int signal) = 0;
    virtual void report(std::uint64_t root, supervision_report what) = 0;
    virtual void supervisor_ended(std::uint64_t root) = 0;
  };

  explicit control_plane(host& hub);
  ~control_plane();
  control_plane(const control_plane&) = delete;
  control_plane& operator=(const control_plane&) = delete;

  /// `exit_channel`: as of a process; told when all children run, or why not, and how it ended.
  void make(std::uint64_t root, supervisor_spec what, owned_fd exit_channel);
  /// Asks the supervisor that `path` leads to from the root. `answer_to`: gets one encoded `answer` (control.hpp).
  void call(std::uint64_t root, std::vector<child_name> path, supervision_call what, owned_fd answer_to);
  /// Its owner is gone, and its children are being killed: it ends and restarts nothing.
  void abandon(std::uint64_t root);
  /// No note to it after this one arrives.
  void forget(std::uint64_t root);
  /// Has a service do something; it is made now if this is the first. Done when this returns.
  void tell(const service_entry& which, const std::function<service_host()>& host_of_it, std::function<void(service&)> what);
  /// When services want to be called again, `never_again` if none does; and calls those that do by `now`.
  std::int64_t next_look() const;
  void look(std::int64_t now);
  /// No supervisor is left.
  bool idle() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace cloister::internal

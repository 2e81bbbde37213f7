// SPDX-License-Identifier: BSD-3-Clause
// What a process can ask and tell about itself, and about those it started.
//
//   while (!this_process::stop_requested()) work();     // a loop that ends when SIGTERM or Ctrl-C asks
//
// Threads: any. In the first process and in every process of a node; elsewhere `failure{not_attached}`.
#pragma once

#include <cloister/deadline.hpp>
#include <cloister/process.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cloister {

struct this_process {
  static process_id id();
  static std::string name();
  static bool daemon();
  /// True once SIGTERM (or, in the first process, Ctrl-C) asked this process to end. Never blocks; any thread.
  static bool stop_requested() noexcept;
  /// Of a supervised process with a `ready_within`: its start is over. `said` is in its supervisor's child_info. Else nothing happens.
  /// The first call of a process counts. Blocks only while the socket to the node's hub is full.
  static void ready(const std::string& said = {});
  /// Of a supervised process with a `progress_within`: it does not hang. Cheap enough for an inner loop: it asks the clock, and tells the
  /// node four times in that time. Else nothing happens. Any thread.
  static void progress();
  /// Sleeps; throws `failure{stopping or interrupted}` when the process is asked to end meanwhile.
  static void sleep_for(std::chrono::nanoseconds duration);
};

/// The process that started this one, as its child sees it. Copyable; any thread. A parent that dies takes its children along, so
/// `is_alive` is false, and `join` returns, for no longer than it takes the node's hub to end this process.
class parent_handle {
 public:
  const process_id& id() const noexcept { return id_; }
  const std::string& name() const noexcept { return id_.name; }
  bool is_alive() const;
  /// Waits for its end.
  exit_status join() const;
  result<exit_status> join(deadline until) const;

 private:
  friend std::optional<parent_handle> parent_process();
  process_id id_;
  std::shared_ptr<detail::child_link> link_;
};

/// Nothing in the first process.
std::optional<parent_handle> parent_process();

/// The processes that this process started and that have not been seen to end, oldest first.
std::vector<process_id> active_children();

/// The processors this program may run on, at least 1.
inline unsigned cpu_count() noexcept { return node::cpu_count(); }

}  // namespace cloister

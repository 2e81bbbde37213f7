// SPDX-License-Identifier: BSD-3-Clause
// One process as another one sees it: the exit channel (a socket on which the hub says that it started and how it ended), and
// what came on it. The hub writes the end only after every mailbox the dead one used was repaired.
//
// Shared by the `process` object and the list of active children. Threads: any; the first to read stores for all.
#pragma once

#include <cloister/deadline.hpp>
#include <cloister/detail/start_block.hpp>
#include <cloister/error.hpp>
#include <cloister/fd.hpp>

#include <atomic>
#include <mutex>
#include <optional>
#include <string>

namespace cloister::detail {

class child_link {
 public:
  child_link(owned_fd channel, std::string name, bool daemon, std::int64_t shutdown_ns);

  /// Waits for the hub's word that it runs. Throws `failure{not_started}` and what else the hub says; `stopping` or `interrupted` if this
  /// process is asked to stop and there is no such word a second later. The hub ends what it starts after all.
  void await_start();
  /// Whether there is such a word by now; does not wait. Throws as await_start does.
  bool has_started();
  /// For a process that is known to run: a watcher's side.
  void assume(std::uint32_t incarnation, std::int32_t pid) noexcept;

  /// timed_out, stopping, interrupted; not_attached at once in a process forked by user code: the child is not its own.
  result<exit_status> wait(deadline until);
  /// The same, though this process was asked to stop: its children were asked too, with a deadline. REQUIRES: it is known to run.
  void wait_unstoppably() noexcept;
  std::optional<exit_status> poll();
  /// In a copy of this process: closes the copy's channel.
  void hang_up() noexcept { channel_.reset(); }

  std::uint32_t incarnation() const noexcept { return incarnation_; }
  std::int32_t pid() const noexcept { return pid_; }
  const std::string& name() const noexcept { return name_; }
  bool daemon() const noexcept { return daemon_; }
  std::int64_t shutdown_ns() const noexcept { return shutdown_ns_; }
  int sentinel() const noexcept { return channel_.get(); }

 private:
  std::optional<exit_status> read_end();  // REQUIRES: mutex_

  owned_fd channel_;
  const bool daemon_;
  const std::int64_t shutdown_ns_;
  std::string name_;               // constant after await_start
  std::uint32_t incarnation_ = 0;  // constant after await_start
  std::int32_t pid_ = 0;
  std::mutex mutex_;
  std::optional<exit_status> exit_;  // guarded by mutex_
};

}  // namespace cloister::detail

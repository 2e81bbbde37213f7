// SPDX-License-Identifier: BSD-3-Clause
// Hearing of deadlocks between mutexes: circles of threads that wait, without a deadline, for what the next one has.
//
//   queue<deadlock> seen{here};
//   watch_deadlocks(seen);
//   ... seen.get().text() ...
#pragma once

#include <cloister/process.hpp>
#include <cloister/queue.hpp>

#include <string>
#include <vector>

namespace cloister {

struct deadlock {
  struct party {
    process_id process;
    std::string waits_for;  ///< the name of the mutex that the next party owns, or after the last one the first
  };
  std::vector<party> circle;  ///< the first is the one that closed it
  bool broken = false;        ///< one of them got the error `deadlock` (mutex_options::on_deadlock)

  /// One line.
  std::string text() const;
};

/// From now on each deadlock of the node is put into `to` when it happens, in addition to the log. What does not fit is lost. Any process
/// of the node; waits for the first process. Throws `failure`: not_attached, no_descriptors, stopping.
void watch_deadlocks(const queue<deadlock>& to);

}  // namespace cloister

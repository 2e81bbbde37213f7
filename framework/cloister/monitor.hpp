// SPDX-License-Identifier: BSD-3-Clause
// Hearing of the end of a process that somebody else started.
//
//   queue<exit_notice> ends{here};
//   monitor(worker_id, ends);                                  // the id came in a message
//   auto n = ends.get();  std::cout << n.process.name << ": " << n.exit.text() << '\n';
//
// Threads and processes: any of the node. Never blocks. The notice is put by the node's hub, after everything the process held was put
// right; a full queue gets it as soon as there is room. It survives the death of whoever asked, as long as the queue lives.
#pragma once

#include <cloister/process.hpp>
#include <cloister/queue.hpp>

namespace cloister {

struct exit_notice {
  process_id process;
  exit_status exit;
};

/// Puts one exit_notice for `who` into `to` when it ends, at once if it has.
void monitor(const process_id& who, const queue<exit_notice>& to);

}  // namespace cloister

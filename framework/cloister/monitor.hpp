// SPDX-License-Identifier: BSD-3-Clause
// Hearing of the end of a process that somebody else started, and ending with it.
//
//   queue<exit_notice> ends{here};
//   monitor(worker, ends);                                     // a process, or its process_id, which may have come in a message
//   auto n = ends.get();  std::cout << n.process.name << ": " << n.exit.text() << '\n';
//   link(other);                                               // neither of us is to go on when the other one has failed
//
// Threads and processes: any of the node. Blocks only while the socket to the node's hub is full. The hub puts the notice after everything
// the process held was put right; a full queue gets it as soon as there is room, one without memory or for short messages only with name
// and texts cut to 64 characters, a closed one not at all. It survives the death of whoever asked, as long as the queue lives.
#pragma once

#include <cloister/process.hpp>
#include <cloister/queue.hpp>

namespace cloister {

/// A value that travels: which process ended, and how.
struct exit_notice {
  process_id process;
  exit_status exit;
};

/// Puts one exit_notice for `who` into `to` when it ends, at once if it has. One whose end is forgotten (a thousand later ones) is
/// `unknown`. Throws `failure`: not_attached; invalid if the process was not started or `to` is no queue.
void monitor(const process_id& who, const queue<exit_notice>& to);
inline void monitor(const process& who, const queue<exit_notice>& to) { monitor(who.id(), to); }
/// No notice of that process into that queue any more, but for one that is there already.
void demonitor(const process_id& who, const queue<exit_notice>& to);
inline void demonitor(const process& who, const queue<exit_notice>& to) { demonitor(who.id(), to); }

/// Ties this process and `who` together: when one of them ends other than normally (`ended_normally`), the hub kills the other, and
/// whoever hears of that, a supervisor's reports or the log, hears of which end it was. Held once, however often it is made, by either;
/// the successor of a restarted child has none until it makes one. One that has failed already kills this process at once; of an end that
/// is forgotten it is not known whether it was normal, so it counts as failed. Blocks for the hub's answer. Throws `failure`:
/// not_attached; invalid in the first process, or with it, with which all others end anyway.
void link(const process_id& who);
inline void link(const process& who) { link(who.id()); }
/// No longer; it is sure when this returns.
void unlink(const process_id& who);
inline void unlink(const process& who) { unlink(who.id()); }

}  // namespace cloister

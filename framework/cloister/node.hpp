// SPDX-License-Identifier: BSD-3-Clause
// The running program as a place: its first process, the launcher, and every process started from them.
//
//   int main(int argc, char** argv) {
//     node here{argc, argv};                 // first line: in a process that is started by exec, this line never returns
//     process p{here, greet, "bob"};
//   }                                        // ~process joins, ~node ends what is left
//
// Owner: the frame that made it, one at a time in a process, on the main thread. In a process started from it, the body gets its
// own `node&` as first parameter if it asks for one. Processes: everything of the node ends within a second when the first process
// is gone, whatever ended it; not so programs that were executed (system, posix_spawn) in a process which the first process started by
// start_method::fork or process::fork, if the first process is killed. Ctrl-C (only where SIGINT has its default action): blocking calls
// of the first process end with `errc::interrupted`, children are asked to stop, then killed after their `.shutdown`; `~node` then ends
// the program by SIGINT. A second Ctrl-C ends everything at once.
#pragma once

#include <cloister/place.hpp>

#include <memory>
#include <vector>

namespace cloister {

/// How a node is made: a value, read once by its constructor.
struct node_options {
  start_method start = start_method::forkserver;  ///< for processes that do not choose
  std::vector<void (*)()> preload = {};           ///< run once in the launcher, before any process is forked from it.
                                                  ///< No use in a program that has threads before its node: then none is forked
};

class node_context;

class [[nodiscard]] node final : public place {
 public:
  /// Starts the launcher and the hub. `argv` must stay as it is (it is what main got). Throws `failure`: not_started, no_descriptors,
  /// no_memory, invalid (a second node in this process). Then nothing is left of it.
  node(int argc, char** argv, node_options options = {});
  /// Ends this process's daemons, waits for all other processes, which go on as before (after an exception: ends them), then stops hub
  /// and launcher. REQUIRES: no other thread of this process is in a call of a handle or owner of this node; they are joined before.
  ~node() override;

  /// The same node with another default start method.
  node_context context(start_method method) const;
  /// The processors this program may run on, at least 1.
  static unsigned cpu_count() noexcept;

 private:
  friend struct child_start;
  struct child_tag {};
  node(child_tag, start_method method);
  struct state;
  std::unique_ptr<state> state_;  // in the first process only
};

/// The same node with another default start method: what node::context returns. A value.
class node_context final : public place {
 private:
  friend class node;
  explicit node_context(start_method method) : place(method) {}
};

}  // namespace cloister

// SPDX-License-Identifier: BSD-3-Clause
// What the tests of processes share: all start methods, running a program of its own in a session of its own, and who is alive.
#pragma once

#include "harness.hpp"

#include <cloister/cloister.hpp>
#include <cloister/detail/event_count.hpp>

#include <optional>
#include <string>
#include <vector>

namespace support {

using namespace std::chrono_literals;

#ifdef CLOISTER_TSAN  // it cannot follow the threads of a process that was forked while there were some
inline constexpr std::initializer_list<cloister::start_method> all_methods = {cloister::start_method::forkserver,
                                                                              cloister::start_method::spawn};
#else
inline constexpr std::initializer_list<cloister::start_method> all_methods = {
    cloister::start_method::forkserver, cloister::start_method::spawn, cloister::start_method::fork};
#endif
/// `const auto how = GENERATE(values(all_methods));` in a case; this names it in failures.
#define EACH_METHOD(how)                                   \
  const auto how = GENERATE(values(support::all_methods)); \
  INFO("start method " << cloister::to_string(how))

inline const cloister::node& here() { return *harness::here; }
inline cloister::process_options by(cloister::start_method method) { return {.start = method}; }

/// Sleeps until somebody asks this process to stop: a body.
void sleep_long();
/// True while there is such a process, zombies not counted.
bool alive(pid_t pid);
/// True when none of them is alive any more; waits up to ten seconds.
bool all_gone(const std::vector<pid_t>& pids);
/// The open descriptors of process `pid`.
std::size_t count_descriptors(pid_t pid);
/// The node's launcher: the child of this process that has its name; 0 if there is none.
pid_t launcher();
/// The thread of this process that is the node's hub; 0 if there is none.
pid_t hub_thread();
/// All processes of session `sid`.
std::vector<pid_t> session_members(pid_t sid);

/// tests/programs/node_program.cpp, run with a scenario's name in a session of its own; its output is read here.
/// Killed by the destructor, with whatever else is in its session.
class program {
 public:
  struct setup {
    std::string executable = {};  ///< another file than the built one
    bool closed_stdio = false;    ///< 0, 1 and 2 are closed in it; nothing can be read
  };
  explicit program(std::vector<std::string> arguments) : program(std::move(arguments), setup()) {}
  program(std::vector<std::string> arguments, setup how);
  ~program();
  program(const program&) = delete;
  program& operator=(const program&) = delete;

  pid_t pid() const noexcept { return pid_; }
  int output() const noexcept { return output_.get(); }
  /// The next line of its output, standard error included; nothing at the end.
  std::optional<std::string> line();
  /// The next line, which must be "NAME NUMBER".
  pid_t number(const std::string& name);
  std::string rest();
  void input(const std::string& text) const;  ///< what it reads from standard input; ends it
  void signal(int number) const;
  void signal_group(int number) const;
  /// How it ended. Blocks.
  cloister::exit_status wait();
  static std::string path();

 private:
  pid_t pid_ = -1, session_ = -1;
  cloister::owned_fd output_;
  mutable cloister::owned_fd input_;
  std::string buffer_;
};

}  // namespace support

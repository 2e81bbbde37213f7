// SPDX-License-Identifier: BSD-3-Clause
// One isolated actor: an operating-system process that runs a function, a captureless lambda or a callable object.
//
//   process p{here, greet, "bob"};                                        // starts at once
//   process q{here, {.name = "crawler", .limits = {.memory = 1 << 30}}, crawl, urls, pages};
//   std::cout << q.join().text();                                         // "exit 0"
//
// A `process` owns what it started: move-only, one thread at a time for moves and destruction; all const members from any thread.
// Destruction joins; after an exception it asks (SIGTERM), waits `shutdown`, kills. The body's parameters are copies made in the
// new process: its memory is its own, and whatever it shares is a handle it was given (queue, source, sink, pipe_end, owned_fd).
// An exception that leaves the body is the process's exit status, with type and text.
#pragma once

#include <cloister/deadline.hpp>
#include <cloister/detail/body.hpp>
#include <cloister/error.hpp>
#include <cloister/node.hpp>
#include <cloister/place.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace cloister {

/// Limits of one process, enforced by the kernel; 0 is none. Exceeding memory is std::bad_alloc in it, CPU time SIGXCPU, files EMFILE.
struct process_limits {
  std::size_t memory = 0;  ///< bytes of private data (RLIMIT_DATA); not enforced in sanitizer builds
  std::chrono::seconds cpu_time{0};
  unsigned open_files = 0;
};

struct process_options;
namespace detail {
/// A request without body and arguments. Throws `failure`.
std::unique_ptr<start_request> make_request(start_method method, const process_options& options);
}  // namespace detail

/// Where a process's output goes: where its starter's goes (default), to a file (created or truncated), or to an open descriptor.
class redirection {
 public:
  redirection() = default;
  redirection(const std::filesystem::path& file) : file_(file) {}  // NOLINT(google-explicit-constructor)
  redirection(int fd) : fd_(fd) {}  // NOLINT(google-explicit-constructor): duplicated when the process is constructed

 private:
  friend std::unique_ptr<detail::start_request> detail::make_request(start_method, const process_options&);
  std::optional<std::filesystem::path> file_;
  int fd_ = -1;
};

/// What one process has otherwise than its place says: a value, read when the process is constructed.
struct process_options {
  std::string name = {};                   ///< for messages; "process-N" if empty
  std::optional<bool> daemon = {};         ///< ended, not waited for, when its starter ends; default: as its starter
  std::optional<start_method> start = {};  ///< default: the place's
  process_limits limits = {};
  std::chrono::nanoseconds shutdown = std::chrono::seconds(5);  ///< how long SIGTERM may take before SIGKILL
  redirection stdout = {};
  redirection stderr = {};
  std::vector<std::pair<std::string, std::string>> env = {};  ///< set on top of the node's environment
  std::optional<std::filesystem::path> cwd = {};
  bool deferred = false;  ///< constructed now, started by start()
};

/// Names a process of this node: a value that travels. Never used again for another one.
struct process_id {
  std::uint32_t incarnation = 0;
  std::int32_t pid = 0;
  std::string name;
  friend bool operator==(const process_id& a, const process_id& b) { return a.incarnation == b.incarnation; }
};

class [[nodiscard]] process {
 public:
  /// No process; everything but assignment and destruction is `failure{invalid}`.
  process();

  /// Encodes body and arguments, and starts the process unless `.deferred`. Returns when it exists.
  /// Throws `failure`: not_started, no_memory, no_descriptors, too_large (name, directory and environment), gone (a handle that its starter
  /// has no more), invalid, not_attached (this process has no node), stopping, interrupted (also: the node is shutting down).
  template <class F, class... Args>
    requires(!std::same_as<std::remove_cvref_t<F>, process_options>)
  [[nodiscard]] process(const place& where, F&& body, Args&&... args)
      : process(where, process_options{}, std::forward<F>(body), std::forward<Args>(args)...) {}
  template <class F, class... Args>
  [[nodiscard]] process(const place& where, process_options options, F&& body, Args&&... args);

  /// A copy of this very process that runs `body`, which may be any closure. For programs whose only threads are cloister's own;
  /// `.start = start_method::fork` in the options says that the caller knows better. `.deferred` is `failure{invalid}`.
  template <std::invocable Closure>
  static process fork(const place& where, Closure body) {
    return fork(where, process_options{}, std::move(body));
  }
  template <std::invocable Closure>
  static process fork(const place& where, process_options options, Closure body);

  process(process&& other) noexcept;
  /// Ends the old one as the destructor does.
  process& operator=(process&& other) noexcept;
  /// Joins; says whom it waits for after 10 s. While an exception unwinds: SIGTERM, `shutdown`, SIGKILL.
  ~process();

  /// Starts a deferred process. Throws as the constructor does.
  void start();

  const std::string& name() const;
  bool daemon() const;
  process_id id() const;  ///< REQUIRES: started
  pid_t pid() const;      ///< REQUIRES: started
  bool started() const noexcept;

  /// Waits until it has ended and everything it held has been put right. Any number of threads may join.
  exit_status join() const;
  result<exit_status> join(deadline until) const;
  bool is_alive() const;                    ///< started and not yet ended
  std::optional<exit_status> exit() const;  ///< how it ended; nothing while it has not

  /// Asks it to end: its blocking calls fail with `errc::stopping`, so that its destructors run. No effect on one that has ended.
  void terminate() const;
  /// SIGKILL. As with `terminate`, the signal has been sent when this returns.
  void kill() const;
  /// A descriptor that is readable when it has ended; owned by this object. REQUIRES: started.
  int sentinel() const;
  /// Gives up the handle. Throws `failure{invalid}` while it runs; a second close is nothing; later calls are `failure{invalid}`.
  void close();

 private:
  struct state;
  void begin(std::unique_ptr<detail::start_request> request, const process_options& options);
  void begin_fork(std::unique_ptr<detail::start_request> request, const process_options& options, std::function<void()> body,
                  const std::function<void()>& release);
  state& get(const char* operation) const;
  void finish() noexcept;
  std::unique_ptr<state> state_;
  int exceptions_ = 0;  // std::uncaught_exceptions() when it was made
};

// ---------------------------------------------------------------------------------------------------------------------

template <class F, class... Args>
process::process(const place& where, process_options options, F&& body, Args&&... args) : process() {
  auto request = detail::make_request(where.default_start_method(), options);
  detail::encode_start(*request, std::forward<F>(body), std::forward<Args>(args)...);
  begin(std::move(request), options);
}

template <std::invocable Closure>
process process::fork(const place& where, process_options options, Closure body) {
  process p;
  auto closure = std::make_shared<std::optional<Closure>>(std::move(body));
  p.begin_fork(
      detail::make_request(where.default_start_method(), options), options, [closure] { static_cast<void>((**closure)()); },
      [closure] { closure->reset(); });
  return p;
}

}  // namespace cloister

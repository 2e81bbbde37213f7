// SPDX-License-Identifier: BSD-3-Clause
// The process object: a request until it is started, then a child_link. It joins or ends what it owns.
#include <cloister/process.hpp>

#include <cloister/detail/child_link.hpp>
#include <cloister/detail/stop.hpp>
#include <cloister/internal/child.hpp>
#include <cloister/log.hpp>

#include <csignal>
#include <cstring>
#include <exception>

#include <fcntl.h>

namespace cloister {

using detail::membership;

struct process::state {
  std::shared_ptr<detail::child_link> link;        // once started
  std::unique_ptr<detail::start_request> request;  // until started
  std::string name;
  bool daemon = false;
  bool closed = false;
  bool fork_by_name = false;  // fork was asked for in the options
};

std::string_view to_string(start_method method) noexcept {
  switch (method) {
    case start_method::forkserver: return "forkserver";
    case start_method::spawn: return "spawn";
    case start_method::fork: return "fork";
  }
  return "unknown start method";
}

process::state& process::get(const char* operation) const {
  if (!state_) throw failure(errc::invalid, std::string("process ") + operation + ": this object holds no process");
  if (state_->closed) throw failure(errc::invalid, "process '" + state_->name + "' " + operation + ": it was closed");
  return *state_;
}

std::unique_ptr<detail::start_request> detail::make_request(start_method method, const process_options& options) {
  auto& self = membership::require();
  auto request = std::make_unique<detail::start_request>();
  auto& block = request->block;
  block.name = options.name;
  block.parent_name = self.self().name;
  block.daemon = options.daemon.value_or(self.self().daemon);
  block.method = static_cast<std::uint8_t>(options.start.value_or(method));
  block.log_level = static_cast<std::uint8_t>(current_log_level());
  block.shutdown_ns = options.shutdown.count();
  block.memory_limit = options.limits.memory;
  block.cpu_limit_s = static_cast<std::uint64_t>(options.limits.cpu_time.count() > 0 ? options.limits.cpu_time.count() : 0);
  block.open_files_limit = options.limits.open_files;
  block.env = options.env;
  if (options.cwd) block.cwd = options.cwd->string();
  const auto redirect = [&](const redirection& to, bool& has) {
    if (!to.file_ && to.fd_ < 0) return;
    owned_fd fd(to.file_ ? ::open(to.file_->c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)
                         : ::fcntl(to.fd_, F_DUPFD_CLOEXEC, 3));
    if (!fd)
      throw failure(errc::not_started, "process '" + block.name + "' start: its output cannot go to " +
                                           (to.file_ ? "'" + to.file_->string() + "'" : "descriptor " + std::to_string(to.fd_)) +
                                           ": " + std::strerror(errno));
    request->fds.push_back(std::move(fd));
    has = true;
  };
  redirect(options.stdout, block.has_stdout);
  redirect(options.stderr, block.has_stderr);
  return request;
}

void process::begin(std::unique_ptr<detail::start_request> request, const process_options& options) {
  exceptions_ = std::uncaught_exceptions();
  auto s = std::make_unique<state>();
  s->name = request->block.name;
  s->daemon = request->block.daemon;
  s->fork_by_name = options.start == start_method::fork;
  s->request = std::move(request);
  state_ = std::move(s);
  if (options.deferred) return;
  try {
    start();
  } catch (...) {
    state_.reset();
    throw;
  }
}

void process::start() {
  auto& s = get("start");
  if (!s.request) throw failure(errc::invalid, "process '" + s.name + "' start: it was started before");
  auto& self = membership::require();
  if (static_cast<start_method>(s.request->block.method) == start_method::fork) {
    // The body runs from the same bytes as everywhere else; only its process is a copy of this one.
    s.link = self.fork(
        *s.request, internal::run_encoded, [] {}, s.fork_by_name);
  } else {
    s.link = self.start(*s.request);
  }
  s.request.reset();  // only now: a start that failed can be tried again
  s.name = s.link->name();
}

void process::begin_fork(std::unique_ptr<detail::start_request> request, const process_options& options, std::function<void()> body,
                         const std::function<void()>& release) {
  if (options.deferred) throw failure(errc::invalid, "process '" + options.name + "' fork: it cannot be deferred");
  exceptions_ = std::uncaught_exceptions();
  request->block.method = static_cast<std::uint8_t>(start_method::fork);
  auto s = std::make_unique<state>();
  s->daemon = request->block.daemon;
  s->link = membership::require().fork(
      *request, [&](const auto&) { body(); }, release, options.start == start_method::fork);
  s->name = s->link->name();
  state_ = std::move(s);
}

process::process() = default;
process::process(process&& other) noexcept = default;

process& process::operator=(process&& other) noexcept {
  if (this != &other) {
    finish();
    state_ = std::move(other.state_);
    exceptions_ = other.exceptions_;
  }
  return *this;
}

process::~process() { finish(); }

void process::finish() noexcept {
  if (!state_ || !state_->link || state_->closed) return;
  try {
    auto& link = *state_->link;
    if (std::uncaught_exceptions() > exceptions_ || detail::stop_requested()) {
      membership::require().signal(link.incarnation(), SIGTERM, std::max<std::int64_t>(link.shutdown_ns(), 1));
      link.wait_unstoppably();
    } else if (const auto done = link.wait(std::chrono::seconds(10)); !done) {
      if (done == errc::timed_out)
        detail::log(log_level::warning,
                    "waiting for process '" + link.name() + "' (pid " + std::to_string(link.pid()) + ") to end");
      if (!link.wait(deadline::never())) {  // asked to stop meanwhile
        membership::require().signal(link.incarnation(), SIGTERM, std::max<std::int64_t>(link.shutdown_ns(), 1));
        link.wait_unstoppably();
      }
    }
  } catch (...) {  // not in a node any more: the process ends with the node
  }
  state_.reset();
}

const std::string& process::name() const { return get("name").name; }
bool process::daemon() const { return get("daemon").daemon; }
bool process::started() const noexcept { return state_ && state_->link; }

namespace {
detail::child_link& running(const std::shared_ptr<detail::child_link>& link, const std::string& name, const char* operation) {
  if (!link) throw failure(errc::invalid, "process '" + name + "' " + operation + ": it has not been started");
  return *link;
}
}  // namespace

process_id process::id() const {
  const auto& s = get("id");
  const auto& link = running(s.link, s.name, "id");
  return {link.incarnation(), link.pid(), s.name};
}

pid_t process::pid() const { return id().pid; }

exit_status process::join() const {
  const auto& s = get("join");
  return running(s.link, s.name, "join").wait(deadline::never()).value();
}

result<exit_status> process::join(deadline until) const {
  const auto& s = get("join");
  return running(s.link, s.name, "join").wait(until);
}

bool process::is_alive() const {
  const auto& s = get("is_alive");
  return s.link && !s.link->poll();
}

std::optional<exit_status> process::exit() const {
  const auto& s = get("exit");
  return s.link ? s.link->poll() : std::nullopt;
}

void process::terminate() const {
  const auto& s = get("terminate");
  membership::require().signal_now(running(s.link, s.name, "terminate").incarnation(), SIGTERM);
}

void process::kill() const {
  const auto& s = get("kill");
  membership::require().signal_now(running(s.link, s.name, "kill").incarnation(), SIGKILL);
}

int process::sentinel() const {
  const auto& s = get("sentinel");
  return running(s.link, s.name, "sentinel").sentinel();
}

void process::close() {
  if (!state_ || state_->closed) return;
  if (state_->link && !state_->link->poll())
    throw failure(errc::invalid, "process '" + state_->name + "' close: it is still running");
  state_->closed = true;
  state_->link.reset();
  state_->request.reset();
}

}  // namespace cloister

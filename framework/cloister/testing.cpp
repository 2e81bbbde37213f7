// SPDX-License-Identifier: BSD-3-Clause
// The test kit: signals, polling, reports, and /proc.
#include <cloister/testing.hpp>

#include <cloister/detail/membership.hpp>
#include <cloister/internal/planned_fault.hpp>
#include <cloister/this_process.hpp>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cloister::testing {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

// ---- killing ----------------------------------------------------------------------------------------------------------

namespace {

process_id send_signal(const supervisor& s, const child_info& child, int signal) {
  if (child.supervisor || !child.process)
    throw failure(errc::not_started, "supervisor '" + s.name() + "': child '" + child.id + "' has no process now");
  ::kill(child.process->pid, signal);
  return *child.process;
}

}  // namespace

process_id kill_child(const supervisor& s, const std::string& id, int signal) { return send_signal(s, s.which_child(id), signal); }

process_id kill_child(const supervisor& s, std::size_t n, int signal) {
  const auto all = s.which_children();
  if (n >= all.size()) throw failure(errc::not_found, "supervisor '" + s.name() + "': it has no child number " + std::to_string(n));
  return send_signal(s, all[all.size() - 1 - n], signal);
}

// ---- waiting ----------------------------------------------------------------------------------------------------------

bool eventually(const std::function<bool()>& condition, deadline until) {
  for (auto pause = 1ms;; pause = std::min(2 * pause, 50ms)) {
    try {
      if (condition()) return true;
    } catch (const std::exception&) {}
    if (until.has_passed()) return false;
    std::this_thread::sleep_for(pause);
  }
}

namespace {

bool is_whole(const supervisor& s) {
  const auto all = s.which_children();
  return std::all_of(all.begin(), all.end(), [&](const child_info& c) {
    if (c.state == child_state::stopped) return c.restart != permanent;
    if (c.state != child_state::running) return false;
    return !c.supervisor || c.id.empty() || is_whole(supervisor::find(s, c.id));
  });
}

}  // namespace

bool whole(const supervisor& s, deadline until) {
  return eventually([&] { return is_whole(s); }, until);
}

bool replaced(const supervisor& s, const std::string& id, const process_id& before, deadline until) {
  return eventually(
      [&] {
        const auto c = s.which_child(id);
        return c.state == child_state::running && c.process != before;
      },
      until);
}

// ---- planned deaths ---------------------------------------------------------------------------------------------------

// A file that the first process to get there removes.
struct planned_death::token {
  std::string path;
  token() {
    path = (fs::temp_directory_path() / "cloister-fault-XXXXXX").string();
    const owned_fd made(::mkstemp(path.data()));
    if (!made) throw failure(errc::no_descriptors, "planned_death: no file can be made in " + fs::temp_directory_path().string());
  }
  ~token() { ::unlink(path.c_str()); }
  token(const token&) = delete;
  token& operator=(const token&) = delete;
};

planned_death::planned_death(fault what) : token_(std::make_unique<token>()), what_(std::move(what)) {
  if (what_.step == 0 || what_.step > fault_steps(what_.operation))
    throw failure(errc::invalid, "planned_death: there is no step " + std::to_string(what_.step) + " of '" + what_.operation + "'");
}
planned_death::~planned_death() = default;

child_options planned_death::in(child_options options) const {
  options.process.env.emplace_back(internal::planned_fault_variable, internal::planned_fault_text(what_, token_->path));
  return options;
}

bool planned_death::pending() const { return ::access(token_->path.c_str(), F_OK) == 0; }

planned_death at_message(unsigned k, fault_action action) {
  return planned_death({.operation = "get", .step = 2, .action = action, .skip = k > 0 ? k - 1 : 0});
}

// ---- reports ----------------------------------------------------------------------------------------------------------

namespace {
struct nowhere final : place {
  nowhere() : place(start_method::forkserver) {}
};
}  // namespace

recorder::recorder(const supervisor& s) : queue_(nowhere()) { s.subscribe(queue_); }

const std::vector<supervision_report>& recorder::reports() {
  while (auto next = queue_.try_get()) reports_.push_back(*std::move(next));
  return reports_;
}

std::vector<std::string> recorder::restarted() {
  std::vector<std::string> ids;
  for (const auto& r : reports()) {
    if (r.what != supervision_report::kind::started || r.child.restarts == 0) continue;
    const auto within = r.supervisor.find('/');
    ids.push_back(within == std::string::npos ? r.child.id : r.supervisor.substr(within + 1) + "/" + r.child.id);
  }
  return ids;
}

std::size_t recorder::restarts_of(const std::string& id) {
  const auto all = restarted();
  return static_cast<std::size_t>(std::count(all.begin(), all.end(), id));
}

bool recorder::await_restarts(const std::string& id, std::size_t times, deadline until) {
  while (restarts_of(id) < times) {
    auto next = queue_.get(until);
    if (!next) return false;
    reports_.push_back(*std::move(next));
  }
  return true;
}

// ---- time -------------------------------------------------------------------------------------------------------------

struct time_limit::state {
  std::mutex mutex;
  std::condition_variable changed;
  bool over = false;  // guarded by mutex
  std::thread watcher;
};

time_limit::time_limit(std::string test, std::chrono::nanoseconds limit) : state_(std::make_unique<state>()) {
  state_->watcher = std::thread([s = state_.get(), test = std::move(test), limit] {
    std::unique_lock guard(s->mutex);
    if (s->changed.wait_for(guard, limit, [&] { return s->over; })) return;
    std::fprintf(stderr, "'%s' hangs: it is not done after %.1f s\n", test.c_str(), std::chrono::duration<double>(limit).count());
    std::fflush(stderr);
    std::_Exit(3);
  });
  ::pthread_setname_np(state_->watcher.native_handle(), "cloister limit");
}

time_limit::~time_limit() {
  {
    const std::scoped_lock guard(state_->mutex);
    state_->over = true;
  }
  state_->changed.notify_one();
  state_->watcher.join();
}

// ---- leaks ------------------------------------------------------------------------------------------------------------

namespace {

// All processes below this one.
std::size_t count_processes() {
  std::unordered_map<pid_t, std::vector<pid_t>> children;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const auto pid = static_cast<pid_t>(std::atol(entry.path().filename().c_str()));
    if (pid <= 0) continue;
    std::ifstream in(entry.path() / "stat");
    std::string text;
    std::getline(in, text);  // does not throw as reading the buffer would, when the process has gone since the file was opened
    const auto end = text.rfind(')');
    if (end == std::string::npos) continue;
    int parent = 0;
    if (std::sscanf(text.c_str() + end + 1, " %*c %d", &parent) == 1) children[parent].push_back(pid);
  }
  std::size_t count = 0;
  std::vector<pid_t> left{::getpid()};
  while (!left.empty()) {
    const auto parent = left.back();
    left.pop_back();
    for (const auto pid : children[parent]) {
      ++count;
      left.push_back(pid);
    }
  }
  return count;
}

// What a descriptor is, by what its link in /proc says: "socket:[4711]", "anon_inode:[pidfd]", "/memfd:cloister queue (deleted)".
std::string kind_of(const std::string& target) {
  if (target.starts_with("/memfd:") || target.starts_with("anon_inode:")) return target;
  return target.starts_with('/') ? "file" : target.substr(0, target.find(":["));
}

}  // namespace

leak_check::counts leak_check::now() {
  static_cast<void>(active_children());  // what is kept of actors that have ended goes
  counts c;
  c.processes = count_processes();
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    const auto target = fs::read_symlink(entry.path(), gone).string();
    ++c.descriptors[kind_of(target)];
    struct stat info {};
    if (target.starts_with("/memfd:") && ::stat(entry.path().c_str(), &info) == 0)
      c.shared_bytes += static_cast<std::size_t>(info.st_blocks) * 512;
  }
  return c;
}

leak_check::leak_check() : before_(now()) {}

std::string leak_check::found(deadline until) const {
  std::string text;
  eventually(
      [&] {
        const auto c = now();
        text.clear();
        const auto more = [&](std::size_t is, std::size_t was, const std::string& what) {
          if (is > was) text += std::to_string(is - was) + ' ' + what + " more than before\n";
        };
        more(c.processes, before_.processes, "processes");
        for (const auto& [what, is] : c.descriptors) {
          const auto was = before_.descriptors.find(what);
          more(is, was == before_.descriptors.end() ? 0 : was->second, "descriptors (" + what + ")");
        }
        more(c.shared_bytes, before_.shared_bytes, "bytes of shared memory");
        return text.empty();
      },
      until);
  return text;
}

}  // namespace cloister::testing

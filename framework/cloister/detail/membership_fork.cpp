// SPDX-License-Identifier: BSD-3-Clause
// A process that forks itself: start_method::fork and process::fork.
//
// Twice, so that the child is not ours to reap: its parent becomes the launcher, or the first process, whose hub reaps it. Who dies
// where: we before `go`: the child reads end-of-file and ends before its body. The child before hello: the hub sees its socket end.
#include <cloister/detail/child_link.hpp>
#include <cloister/detail/event_count.hpp>
#include <cloister/detail/membership.hpp>
#include <cloister/detail/queue_core.hpp>
#include <cloister/detail/stop.hpp>
#include <cloister/fault.hpp>
#include <cloister/internal/child.hpp>
#include <cloister/internal/control.hpp>
#include <cloister/log.hpp>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iostream>

#include <dirent.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cloister::detail {

using namespace internal;

namespace {

// Threads of this process that are not cloister's own (which name themselves).
unsigned foreign_threads() {
  unsigned count = 0;
  DIR* tasks = ::opendir("/proc/self/task");
  if (tasks == nullptr) return 1;
  while (const dirent* entry = ::readdir(tasks)) {
    if (entry->d_name[0] == '.') continue;
    std::array<char, 64> path{}, name{};
    std::snprintf(path.data(), path.size(), "/proc/self/task/%.20s/comm", entry->d_name);
    std::FILE* comm = std::fopen(path.data(), "re");
    const bool alive = comm != nullptr && std::fgets(name.data(), static_cast<int>(name.size()), comm) != nullptr;
    if (comm != nullptr) std::fclose(comm);
    if (alive && std::strncmp(name.data(), "cloister ", 9) != 0) ++count;
  }
  ::closedir(tasks);
#ifdef CLOISTER_TSAN
  constexpr unsigned expected = 2;  // the calling one, and ThreadSanitizer's
#else
  constexpr unsigned expected = 1;
#endif
  return count > expected ? count - expected : 0;
}

}  // namespace

std::shared_ptr<child_link> membership::fork(const start_request& what, const std::function<void(const start_request&)>& body,
                                             const std::function<void()>& release, bool forced) {
  const auto& block = what.block;
  const std::string title = "process '" + block.name + "' start: ";
  if (const auto n = foreign_threads(); n > 0 && !forced)
    throw failure(errc::invalid,
                  title + "fork copies only the calling thread, and this process has " + std::to_string(n) +
                      " more: a lock that one of them holds would be held for ever. Use forkserver or spawn, or ask for "
                      "start_method::fork in the options");
  auto [exit_mine, exit_theirs] = socket_pair(title);
  auto [reply_mine, reply_theirs] = socket_pair(title);
  auto [go_mine, go_theirs] = socket_pair(title);
  const std::array<int, 2> fds{reply_theirs.get(), exit_theirs.get()};
  auto told = block;
  told.arguments.clear();  // they do not travel: the child has this memory
  send_request(control_, fork_process{told}, fds, title);
  reply_theirs.reset();
  exit_theirs.reset();
  datagram reply;
  switch (await_datagram(reply_mine.get(), reply)) {
    case receive_status::received: break;
    case receive_status::ended: throw failure(errc::no_descriptors, title + "the node's first process has no descriptor left");
    case receive_status::empty: throw failure(stop_reason().value_or(errc::stopping), title + "this process was asked to stop");
  }
  const auto got = decode<answer>(reply.bytes);
  if (const auto* no = std::get_if<refused>(&got)) throw failure(no->code, no->text);
  const auto grant = std::get<fork_grant>(got);
  if (reply.fds.empty()) throw failure(errc::no_descriptors, title + "this process has no descriptor left");
  owned_fd control = std::move(reply.fds[0]);
  const process_identity child{grant.incarnation, grant.actor, id_.incarnation, ::getpid()};

  auto link = std::make_shared<child_link>(std::move(exit_mine), block.name, block.daemon, block.shutdown_ns);
  std::cout.flush();
  std::fflush(nullptr);
  const pid_t between = ::fork();
  if (between == 0) {
    if (const pid_t pid = ::fork(); pid != 0) ::_exit(pid < 0 ? errno : 0);
    go_mine.reset();
    link->hang_up();  // the parent's alone: the hub asks by it whether the parent still waits
    run_fork(child, what, std::move(control), std::move(go_theirs), body);
  }
  int failed = between < 0 ? errno : 0;
  control.reset();
  go_theirs.reset();
  int status = 0;
  while (between > 0 && ::waitpid(between, &status, 0) < 0 && errno == EINTR) {}
  if (between > 0 && WIFEXITED(status)) failed = WEXITSTATUS(status);
  if (failed != 0) throw failure(errc::not_started, title + "fork: " + std::strerror(failed));

  // The child's handles: those among encoded arguments, and those that went with the closure.
  handover_list taken;
  handover = &taken;
  release();
  handover = nullptr;
  const auto refs = taken.refs();
  auto all = refs;
  all.insert(all.end(), block.objects.begin(), block.objects.end());
  if (!all.empty()) send_datagram(control_.get(), encode(request{fork_handover{child.incarnation, std::move(all)}}), {});
  send_datagram(go_mine.get(), encode(refs), {});
  taken.finish();
  link->await_start();
  remember(link);
  return link;
}

void membership::run_fork(process_identity id, const start_request& what, owned_fd control, owned_fd go,
                          const std::function<void(const start_request&)>& body) {
  const auto& block = what.block;
  owned_fd armed = arm_life_pipe(life_.get());
  if (!armed) ::_exit(never_ran);
  clear_stop();
  install_child_signals();
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // What is the parent's alone.
  clear_faults();
  forget_unfinished();
  tag_process(id.incarnation);
  static_cast<void>(::prctl(PR_SET_CHILD_SUBREAPER, 0));
  datagram d;
  std::vector<object_ref> mine;
  // The hub must know what this process has before it can end: `go` comes after that was sent.
  if (receive_datagram(go.get(), d) != receive_status::received) ::_exit(never_ran);
  go.reset();
  try {
    mine = decode<std::vector<object_ref>>(d.bytes);
  } catch (const std::exception&) { ::_exit(never_ran); }
  control_ = std::move(control);
  life_ = std::move(armed);
  on_fork_ = -1;
  self_ = block;
  self_.parent_name = self_.parent_name.empty() ? "main" : self_.parent_name;
  if (self_.name.empty()) self_.name = "process-" + std::to_string(id.incarnation);
  token_ = 0;
  static std::vector<cell_pool*> of_parents;  // as it was when a thread may have been within it: for no use
  of_parents.push_back(cells_.release());
  cells_ = std::make_unique<cell_pool>();
  small_ = large_ = {};
  children_.clear();
  kept_.clear();
  parent_.reset();
  if (!send_datagram(control_.get(), encode(request{hello{}}), {})) ::_exit(never_ran);
  enter(id);
  for (auto& [object, weak] : attached_) {
    const auto a = weak.lock();
    if (!a) continue;
    std::array<unsigned, 3> uses{};
    for (const auto& ref : mine) uses[ref.object == object ? ref.role : no_role] += ref.object == object ? 1U : 0U;
    a->adopt_uses(uses);
    for (auto& word : a->own()) word = 0;
  }
  std::size_t next = 0;
  if (block.has_stdout) ::dup2(what.fds.at(next++).get(), STDOUT_FILENO);
  if (block.has_stderr) ::dup2(what.fds.at(next++).get(), STDERR_FILENO);
  run_and_exit([&] {
    settle_in(block);
    body(what);
  });
}

// Handover to a forked process.

bool handover_list::collect(attachment& object, unsigned role) noexcept {
  try {
    collected_.emplace_back(object.shared_from_this(), role);
    return true;
  } catch (...) { return false; }
}

std::vector<object_ref> handover_list::refs() const {
  std::vector<object_ref> refs;
  for (const auto& [object, role] : collected_) refs.push_back({object->id(), role});
  return refs;
}

void handover_list::finish() noexcept {
  for (const auto& [object, role] : collected_) object->stop_use(role);
  collected_.clear();
}

}  // namespace cloister::detail

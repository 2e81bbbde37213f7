// SPDX-License-Identifier: BSD-3-Clause
// The hub's part for processes: starting them through the launcher, and signals.
#include <cloister/internal/hub.hpp>

#include <cloister/deadline.hpp>
#include <cloister/internal/child.hpp>
#include <cloister/log.hpp>
#include <cloister/place.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <limits>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cloister::internal {
namespace {

constexpr std::size_t launches_at_once = 16;  // bounds descriptors in flight
constexpr unsigned most_tries = 20;           // of one start, each by another launcher

}  // namespace

void hub::log_line(const member& m, const std::string& what) const {
  if (current_log_level() > log_level::info) return;
  detail::log(log_level::info, "process '" + m.name + "' (pid " + std::to_string(m.pid) + ") " + what);
}

std::uint16_t hub::free_actor() {
  if (!free_actors_.empty()) {
    const auto actor = free_actors_.back();
    free_actors_.pop_back();
    return actor;
  }
  return last_actor_ < 65000 ? ++last_actor_ : std::uint16_t{0};
}

std::uint32_t hub::next_incarnation() noexcept {
  if (++last_incarnation_ == own_tag_) ++last_incarnation_;
  return last_incarnation_;
}

hub::member& hub::add_member(const member& by, const detail::start_block& block) {
  const auto actor = free_actor();
  if (actor == 0) throw failure(errc::not_started, "process '" + block.name + "' start: the node has 65000 processes already");
  auto m = std::make_unique<member>();
  m->identity = {next_incarnation(), actor, by.identity.incarnation, by.pid};
  living_.set(actor);
  m->name = block.name.empty() ? "process-" + std::to_string(m->identity.incarnation) : block.name;
  m->daemon = block.daemon;
  m->shutdown_ns = block.shutdown_ns;
  m->progress_ns = block.progress_ns;
  m->says_ready = block.says_ready;
  m->limits = {block.memory_limit, std::chrono::seconds(block.cpu_limit_s), static_cast<unsigned>(block.open_files_limit)};
  return *members_.emplace(m->identity.incarnation, std::move(m)).first->second;
}

bool hub::no_more_starts(const member& by) const noexcept {
  return ending_all_ || (shutting_down_ && by.identity.incarnation == 1);
}

// Whether `holder` has what `block` needs, and there is a descriptor for each thing that wants one.
result<void> hub::may_start(std::uint32_t holder, const detail::start_block& block, std::size_t descriptors,
                            const std::string& title) const {
  for (const auto& ref : block.objects) {
    if (!objects_.holds(holder, ref.object))
      return {errc::gone, title + "a handle among its arguments names no object of its starter"};
  }
  const std::size_t own = static_cast<std::size_t>(block.has_arguments_fd) + static_cast<std::size_t>(block.has_stdout) +
                          static_cast<std::size_t>(block.has_stderr) + block.descriptors;
  if (descriptors != own || own + 1 + block.objects.size() > max_descriptors)
    return {errc::invalid, title + "more handles and descriptors than " + std::to_string(max_descriptors) + " among its arguments"};
  return {};
}

// False if nobody hears it.
bool hub::say(const starter_ear& ear, const exit_message& word) {
  if (!ear.listener) return ear.channel && send_datagram(ear.channel.get(), encode(word), {}, deadline::passed());
  if (const auto* yes = std::get_if<started>(&word))
    return supervisors_.contains(ear.root) &&
           ear.listener->started(yes->incarnation, yes->pid, members_.at(yes->incarnation)->name);
  if (const auto* no = std::get_if<refused>(&word)) ear.listener->refused(cloister::error(no->code, no->text));
  return true;
}

void hub::start(member& by, start_process& what, datagram& d) {
  if (d.fds.empty()) return;  // no exit channel: nobody to tell
  starter_ear ear{std::move(d.fds[0]), 0, nullptr};
  d.fds.erase(d.fds.begin());
  const std::string title = "process '" + what.block.name + "' start: ";
  if (d.truncated)
    return static_cast<void>(say(ear, refused{errc::no_descriptors, title + "the node's first process has no descriptor left"}));
  if (auto may = may_start(by.identity.incarnation, what.block, d.fds.size(), title); !may)
    return static_cast<void>(say(ear, refused{may.error().code(), may.error().text()}));
  launch(by, by.identity.incarnation, std::move(what.block), std::move(d.fds), std::move(ear));
}

// REQUIRES: may_start. `ear` hears of it, now or later.
void hub::launch(member& by, std::uint32_t holder, detail::start_block block, std::vector<owned_fd> fds, starter_ear ear) {
  const std::string title = "process '" + block.name + "' start: ";
  pending_start pending;
  const auto fail = [&](errc code, const std::string& text) {
    if (pending.incarnation == 0) return static_cast<void>(say(ear, refused{code, text}));
    start_failed(*members_.at(pending.incarnation), code, text);
  };
  if (no_more_starts(by)) return fail(errc::interrupted, title + "the node is shutting down");
  try {
    auto [ours, theirs] = socket_pair(title, true);
    static_cast<void>(::fcntl(ours.get(), F_SETFL, O_NONBLOCK));
    pending.fds.push_back(std::move(theirs));
    for (auto& fd : fds) pending.fds.push_back(std::move(fd));
    for (const auto& ref : block.objects) {
      pending.fds.push_back(objects_.memory_of(ref.object));
      if (!pending.fds.back()) throw failure(errc::no_descriptors, title + "the node's first process has no descriptor left");
    }
    auto& m = add_member(by, block);
    pending.incarnation = m.identity.incarnation;
    m.ear = std::move(ear);
    m.control = std::move(ours);
    block.name = m.name;
    for (const auto& ref : block.objects) objects_.give(holder, m.identity.incarnation, ref);
    pending.method = static_cast<start_method>(block.method) == start_method::spawn ? launch_method::exec : launch_method::fork;
    const launch_header header{pending.incarnation, pending.method};
    const auto head = std::as_bytes(std::span(&header, 1));
    const auto body = encode(std::tuple{child_header{m.identity}, std::move(block)});
    pending.bytes.assign(head.begin(), head.end());
    pending.bytes.insert(pending.bytes.end(), body.begin(), body.end());
    watch(m.control.get(), event_key(event_source::control, m.identity.incarnation));
    if (pending.bytes.size() > max_datagram)
      throw failure(errc::too_large, title + "its name, directory and environment are longer than 40 KiB");
    to_launch_.push_back(std::move(pending));
  } catch (const failure& f) { fail(f.code(), f.what()); } catch (const std::exception&) {
    fail(errc::no_memory, "process start: no memory for it in the node's first process");
  }
}

void hub::pump_launches() {
  if (ending_all_) fail_launches(errc::interrupted, "the node is shutting down");
  while (!to_launch_.empty() && launching_.size() < launches_at_once) {
    if (!ensure_launcher()) return;
    auto pending = std::move(to_launch_.front());
    to_launch_.pop_front();
    std::vector<int> fds;
    for (const auto& fd : pending.fds) fds.push_back(fd.get());
    if (!send_datagram(launcher_.get(), pending.bytes, fds, deadline::passed())) {
      const int why = errno;
      const auto refuse = [&](errc code, const std::string& text) {
        auto& m = *members_.at(pending.incarnation);
        start_failed(m, code, "process '" + m.name + "' start: " + text);
      };
      const bool later = why == EAGAIN || (why == ETOOMANYREFS && !launching_.empty());  // when a report has come
      if (why == ETOOMANYREFS && !later) refuse(errc::no_descriptors, "too many descriptors are under way");
      else if (why == ENOMEM || why == ENOBUFS) refuse(errc::no_memory, "no memory for the request to the launcher");
      else if (why == EMSGSIZE) refuse(errc::too_large, "the request to the launcher does not fit into its socket");
      else if (!later && ++pending.tries == most_tries) refuse(errc::not_started, "the launcher ends again and again");
      else {
        to_launch_.push_front(std::move(pending));
        if (later) return;
        launcher_ended();
      }
      continue;
    }
    launching_.emplace(pending.incarnation, std::move(pending));
  }
}

bool hub::ensure_launcher() {
  if (launcher_) return true;
  try {
    auto [ours, theirs] = socket_pair("the launcher: ");
    auto context = context_;
    context.socket = theirs.get();
    launcher_pid_ = execute_launcher(context);
    static_cast<void>(::fcntl(ours.get(), F_SETFL, O_NONBLOCK));
    launcher_ = std::move(ours);
    watch(launcher_.get(), event_key(event_source::launcher));
    return true;
  } catch (const failure& f) {
    fail_launches(f.code(), f.what());
    return false;
  }
}

void hub::fail_launches(errc code, const std::string& text) {
  while (!to_launch_.empty()) {
    const auto incarnation = to_launch_.front().incarnation;
    to_launch_.pop_front();
    if (const auto m = members_.find(incarnation); m != members_.end())
      start_failed(*m->second, code, "process '" + m->second->name + "' start: " + text);
  }
}

void hub::read_reports() {
  datagram d;
  while (launcher_) {
    const auto status = receive_datagram(launcher_.get(), d);
    if (status == receive_status::empty) return;
    if (status == receive_status::ended || d.bytes.size() != sizeof(launcher_report)) return launcher_ended();
    launcher_report report{};
    std::memcpy(&report, d.bytes.data(), sizeof report);
    const auto found = members_.find(report.incarnation);
    switch (report.kind) {
      case report_kind::launched:
        launching_.erase(report.incarnation);
        if (found != members_.end()) launched(*found->second, report.pid, d.fds.empty() ? owned_fd() : std::move(d.fds[0]));
        break;
      case report_kind::failed:
        launching_.erase(report.incarnation);
        if (found != members_.end())
          start_failed(*found->second,
                       report.value == ENOMEM                             ? errc::no_memory
                       : report.value == EMFILE || report.value == ENFILE ? errc::no_descriptors
                                                                          : errc::not_started,
                       "process '" + found->second->name + "' start: fork: " + std::strerror(report.value));
        break;
      case report_kind::ended: take_status(report.pid, report.value); break;
      case report_kind::stray: stray(report.pid); break;
    }
  }
}

void hub::launcher_ended() {
  launcher_kill_at_ = 0;
  if (launcher_pid_ > 0) {
    // Dead before its socket is closed: at its end a living one would end every process that it started.
    ::kill(launcher_pid_, SIGKILL);
    ::waitpid(launcher_pid_, nullptr, 0);
    launcher_pid_ = 0;
    if (!shutting_down_) detail::log(log_level::info, "the launcher ended: the next start revives it");
    read_reports();          // what it said before it ended still counts
    if (!launcher_) return;  // the end of its socket: this has been done
  }
  unwatch(launcher_);
  adopts_ = true;
  // Starts under way: whoever said hello is running, and the kernel told who it is. The others are started again: should one of them
  // have been forked after all, its hello finds no reader and it ends without having run anything.
  for (auto& [incarnation, pending] : launching_) {
    const auto found = members_.find(incarnation);
    if (found == members_.end()) continue;
    auto& m = *found->second;
    read_requests(m, true);
    if (m.said_hello) {
      runs(m, m.pid);
      continue;
    }
    static_cast<void>(::shutdown(m.control.get(), SHUT_RD));
    read_requests(m, true);
    if (m.said_hello) {  // in between: it runs, but cannot be heard
      const refused why{errc::not_started, "process '" + m.name + "' start: the launcher ended meanwhile"};
      static_cast<void>(say(m.ear, why));
      unwatch(m.control);
      m.asked_to_end = true;
      runs(m, m.pid);  // which ends it, for it has no socket; it is buried when it is dead
      continue;
    }
    if (++pending.tries == most_tries) {
      start_failed(m, errc::not_started, "process '" + m.name + "' start: the launcher ends again and again");
      continue;
    }
    try {
      auto [ours, theirs] = socket_pair("process '" + m.name + "' start: ", true);
      static_cast<void>(::fcntl(ours.get(), F_SETFL, O_NONBLOCK));
      unwatch(m.control);
      m.control = std::move(ours);
      pending.fds[0] = std::move(theirs);
      watch(m.control.get(), event_key(event_source::control, incarnation));
      to_launch_.push_front(std::move(pending));
    } catch (const failure& f) { start_failed(m, f.code(), f.what()); }
  }
  launching_.clear();
}

void hub::runs(member& m, pid_t pid) {
  owned_fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const bool reaped = !pidfd && errno == ESRCH;  // at once, by a program that ignores SIGCHLD or waits for any child
  launched(m, pid, std::move(pidfd), reaped);
}

void hub::launched(member& m, pid_t pid, owned_fd pidfd, bool reaped) {
  m.pid = pid;
  m.pidfd = std::move(pidfd);
  by_pid_[pid] = m.identity.incarnation;
  if (m.forked && m.identity.parent == 1) adopts_ = true;
  if (m.pidfd) watch(m.pidfd.get(), event_key(event_source::pidfd, m.identity.incarnation));
  exit_message word = started{m.identity.incarnation, pid};
  if (!m.pidfd && !reaped && !m.forked)
    word = refused{errc::no_descriptors, "process '" + m.name + "' start: no descriptor left to watch it with"};
  const bool told = (m.says_ready && !m.ear.listener && std::holds_alternative<started>(word)) || say(m.ear, word);
  if (m.ready && m.ear.listener) m.ear.listener->ready(std::move(m.said));
  log_line(m, "started");
  if (!m.says_ready) has_progressed(m);
  if (const auto early = early_status_.find(pid); early != early_status_.end()) {
    m.wait_status = early->second;
    early_status_.erase(early);
  }
  if (m.wait_status || reaped) {
    note_pidfd(m);
  } else if (!m.pidfd) {  // no descriptor for the proof: it cannot be watched, so it cannot run
    ::kill(pid, SIGKILL);
    m.asked_to_end = m.unwatched = true;
  }
  if (m.early_signal != 0) send_signal(m.pidfd, m.early_signal);
  if (!m.control) send_signal(m.pidfd, SIGKILL);         // its socket ended already
  if (!told || !members_.contains(m.identity.parent)) {  // its starter died meanwhile, or gave up
    m.asked_to_end = true;
    send_signal(m.pidfd, SIGKILL);
  } else if (ending_all_ || (shutting_down_ && m.identity.parent == 1)) ask_to_end(m);
}

void hub::start_failed(member& m, errc code, const std::string& text) {
  static_cast<void>(say(m.ear, refused{code, text}));
  for (auto& channel : m.watchers) tell_end(channel, exit_status());
  const dead_process dead{m.identity.incarnation, m.identity.actor, exit_status{}};
  objects_.bury(std::span(&dead, 1));
  left_by_dead_.erase(dead.incarnation);  // it never did anything
  unwatch(m.control);
  release_actor(m.identity.actor);
  members_.erase(m.identity.incarnation);
}

void hub::prepare_fork(member& by, fork_process& what, datagram& d) {
  if (d.fds.size() < 2) return;
  owned_fd reply = std::move(d.fds[0]);
  const std::string title = "process '" + what.block.name + "' start: ";
  const auto answer_it = [&](const answer& a, int fd = -1) {
    static_cast<void>(
        send_datagram(reply.get(), encode(a), fd >= 0 ? std::span<const int>(&fd, 1) : std::span<const int>{}, deadline::passed()));
  };
  try {
    if (no_more_starts(by)) throw failure(errc::interrupted, title + "the node is shutting down");
    auto [ours, theirs] = socket_pair(title, true);
    static_cast<void>(::fcntl(ours.get(), F_SETFL, O_NONBLOCK));
    auto& m = add_member(by, what.block);
    m.forked = true;
    m.control = std::move(ours);
    m.ear.channel = std::move(d.fds[1]);
    objects_.copy_holds(by.identity.incarnation, m.identity.incarnation);
    watch(m.control.get(), event_key(event_source::control, m.identity.incarnation));
    answer_it(fork_grant{m.identity.incarnation, m.identity.actor}, theirs.get());
  } catch (const failure& f) { answer_it(refused{f.code(), f.what()}); } catch (const std::exception&) {
    // A member that was added has no socket, or one whose other end is closed now: it is buried unborn.
    answer_it(refused{errc::no_memory, "process start: no memory for it in the node's first process"});
  }
}

int hub::send_signal(const owned_fd& pidfd, int signal) noexcept {
  return pidfd ? static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0)) : -1;
}

void hub::signal(member& m, int signal, std::int64_t grace_ns) {
  send_signal(m.pidfd, signal);
  if (!m.pidfd && m.early_signal != SIGKILL) m.early_signal = signal;
  const auto now = deadline::now();
  if (signal == SIGTERM) m.progress_ns = m.progress_by = 0;  // it may be busy with its end
  if (signal == SIGTERM && grace_ns > 0 && grace_ns < std::numeric_limits<std::int64_t>::max() - now)
    m.kill_at = now + grace_ns;  // else: never
}

void hub::ask_to_end(member& m) {
  m.asked_to_end = true;
  signal(m, SIGTERM, std::max<std::int64_t>(m.shutdown_ns, 1));
}

void hub::begin_shutdown(bool now) {
  shutting_down_ = true;
  if (now) ending_all_ = true;
  abandon_supervisors(now ? 0 : 1);
  for (auto& [incarnation, m] : members_) {
    // The others' daemons are theirs: whoever is waited for goes on as before.
    if (incarnation == 1 || (!now && !(m->daemon && m->identity.parent == 1))) continue;
    ask_to_end(*m);
  }
  if (launching_.empty() || launcher_pid_ <= 0) return;
  // What is with the launcher must come back, though the launcher be stopped or hang: it has a second.
  ::kill(launcher_pid_, SIGCONT);
  launcher_kill_at_ = deadline::now() + launcher_patience_ns;
}

}  // namespace cloister::internal

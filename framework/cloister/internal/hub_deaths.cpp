// SPDX-License-Identifier: BSD-3-Clause
// The hub's part for deaths: how a process ended, and everything that follows from it.
#include <cloister/internal/hub.hpp>

#include <cloister/deadline.hpp>
#include <cloister/detail/letter.hpp>
#include <cloister/log.hpp>
#include <cloister/monitor.hpp>
#include <cloister/supervision.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cloister::internal {
namespace {

constexpr std::size_t past_exits_kept = 1024;

// The status of a process that somebody else has reaped, from kernels that keep it (6.15). Layout: linux/pidfd.h, PIDFD_INFO_SIZE_VER0.
std::optional<int> status_by_kernel(const owned_fd& pidfd) noexcept {
  struct {
    std::uint64_t mask, cgroup;
    std::uint32_t ids[11];
    std::int32_t exit_code;
  } info{};
  static_assert(sizeof info == 64);
  constexpr std::uint64_t exit_wanted = 8;
  info.mask = exit_wanted;
  if (::ioctl(pidfd.get(), _IOWR(0xFF, 11, decltype(info)), &info) != 0 || (info.mask & exit_wanted) == 0) return {};
  return info.exit_code;
}

// The status of a process that is dead and not reaped yet, as its launcher is stopped or starved: the last field of proc_pid_stat(5). That
// is 0, too, for who may not see it; reading the name of a namespace asks for the same permission.
std::optional<int> status_of_zombie(pid_t pid, const owned_fd& pidfd) {
  const std::string proc = "/proc/" + std::to_string(pid);
  char name[64];
  if (::readlink((proc + "/ns/user").c_str(), name, sizeof name) < 0) return {};
  std::ifstream stat(proc + "/stat");
  std::string line;
  std::getline(stat, line);
  const auto last = line.rfind(' ');
  // What was read is this process's, not that of a later one with its number, as it is still not reaped.
  if (last == std::string::npos || ::syscall(SYS_pidfd_send_signal, pidfd.get(), 0, nullptr, 0) != 0) return {};
  return std::atoi(line.c_str() + last);
}

bool is_orderly(const exit_status& exit) { return ended_normally(exit) || has_declined(exit); }

std::string why_linked(const std::string& name, pid_t pid, const exit_status& exit) {
  return "was linked to process '" + name + "' (pid " + std::to_string(pid) + "), which ended: " + exit.text();
}

}  // namespace

void hub::tell_end(const owned_fd& channel, const exit_status& exit) {
  static_cast<void>(send_datagram(channel.get(), encode(exit_message{ended{exit}}), {}, deadline::passed()));
  static_cast<void>(::shutdown(channel.get(), SHUT_RDWR));  // end-of-file also where a forked process keeps a copy of it
}

void hub::kill_for(member& m, const std::string& why) {
  log_line(m, "killed: it " + why);
  if (m.killed_for.empty()) m.killed_for = why;
  m.progress_by = 0;
  signal(m, SIGKILL, 0);
}

// Those whose queue has gone meanwhile are forgotten: a process may live long.
void hub::add_monitor(member& m, monitor to) {
  std::erase_if(m.monitors, [this](const monitor& other) { return !objects_.exists(other.queue); });
  m.monitors.push_back(std::move(to));
}

void hub::link(member& from, const link_processes& what) {
  const auto by = from.identity.incarnation;
  if (by == 1 || what.incarnation == 1 || by == what.incarnation) return;
  const auto other = members_.find(what.incarnation);
  std::erase(from.links, what.incarnation);
  if (other != members_.end()) std::erase(other->second->links, by);
  if (!what.linked) return;
  if (other == members_.end()) {
    const auto exit = past_of(what.incarnation).exit;
    if (!is_orderly(exit)) kill_for(from, why_linked(what.name, what.pid, exit));
    return;
  }
  from.links.push_back(what.incarnation);
  other->second->links.push_back(by);
}

void hub::end_linked(member& m, const exit_status& exit) {
  for (const auto incarnation : m.links) {
    const auto other = members_.find(incarnation);
    if (other == members_.end()) continue;
    std::erase(other->second->links, m.identity.incarnation);
    if (!is_orderly(exit) && !other->second->pidfd_readable) kill_for(*other->second, why_linked(m.name, m.pid, exit));
  }
}

void hub::has_progressed(member& m) {
  if (m.progress_ns > 0) m.progress_by = deadline::now() + m.progress_ns;
}

std::string hub::reason_of(const member& m, const exit_status& exit) {
  if (exit.signal() == SIGKILL && !m.killed_for.empty()) return "it " + m.killed_for;
  if (!exit.exception_type().empty() && m.words && m.words->no_memory && m.limits.memory > 0)
    return "its memory was limited to " + std::to_string(m.limits.memory) + " bytes";
  if (exit.signal() == SIGXCPU && m.limits.cpu_time.count() > 0)
    return "its processor time was limited to " + std::to_string(m.limits.cpu_time.count()) + " s";
  return {};
}

void hub::take_status(pid_t pid, int status) {
  strays_.erase(pid);
  const auto found = by_pid_.find(pid);
  if (found == by_pid_.end()) {
    // A stray's end, or that of a process forked by its parent whose hello has not been read yet.
    const bool expected =
        std::any_of(members_.begin(), members_.end(), [](const auto& m) { return m.second->forked && !m.second->pidfd; });
    if (expected) early_status_[pid] = status;
    else early_status_.clear();
    return;
  }
  auto& m = *members_.at(found->second);
  m.wait_status = status;
  note_pidfd(m);  // it was reaped: as good a proof
}

void hub::note_pidfd(member& m) {
  if (m.pidfd_readable) return;
  m.pidfd_readable = true;
  m.dead_since = deadline::now();
  if (m.pidfd) static_cast<void>(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, m.pidfd.get(), nullptr));
}

void hub::reap_here(member& m) {
  // Children of a launcher that died, and those that the first process forked itself, are the first process's children.
  siginfo_t info{};
  if (!m.pidfd) return;
  if (::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(m.pidfd.get()), &info, WEXITED | WNOHANG) == 0) {
    if (info.si_pid != 0) m.wait_status = info.si_code == CLD_EXITED ? (info.si_status & 0xff) << 8 : info.si_status & 0x7f;
  } else {
    m.wait_status = status_by_kernel(m.pidfd);  // reaped by a launcher that ended before it could tell
  }
}

void hub::look_at_unwatched(member& m) {
  int status = 0;
  const pid_t ended = ::waitpid(m.pid, &status, WNOHANG);  // ours, if its launcher is dead or it was forked by us
  if (ended == m.pid) m.wait_status = status;
  if (ended == m.pid || (ended < 0 && ::kill(m.pid, 0) != 0 && errno == ESRCH)) note_pidfd(m);
}

exit_status hub::status_of(const member& m) const {
  if (m.wait_status) {
    const int s = *m.wait_status;
    if (WIFSIGNALED(s)) return exit_status::signaled(WTERMSIG(s));
    if (!m.said_hello)
      return exit_status::threw("cloister::failure", "process '" + m.name + "' start: it ended before it could run its body");
    if (m.words && WEXITSTATUS(s) == 1) return exit_status::threw(m.words->type, m.words->text);
    return exit_status::exited(WEXITSTATUS(s));
  }
  return m.words ? exit_status::threw(m.words->type, m.words->text) : exit_status{};
}

void hub::bury_the_dead() {
  const auto now = deadline::now();
  std::vector<member*> gone, unborn;
  for (auto& [incarnation, m] : members_) {
    if (m->forked && !m->control && !m->said_hello)
      unborn.push_back(m.get());  // was to be forked by its parent, and never said hello
    if (m->unwatched && !m->pidfd_readable) look_at_unwatched(*m);
    if (!m->pidfd_readable) continue;
    if (!m->wait_status) reap_here(*m);
    const bool late = now >= m->dead_since + status_patience_ns;
    if (!m->wait_status && late && m->pidfd) m->wait_status = status_of_zombie(m->pid, m->pidfd);
    if (m->wait_status || late) gone.push_back(m.get());
  }
  for (auto* m : unborn) start_failed(*m, errc::not_started, "process '" + m->name + "' start: it ended before it began");
  if (gone.empty()) return;
  std::vector<dead_process> dead;
  for (auto* m : gone) {
    // What it sent before it died is acted on before its death is; whoever may have its socket still sends no more.
    if (m->control) static_cast<void>(::shutdown(m->control.get(), SHUT_RD));
    while (m->control) read_requests(*m, true);
    dead.push_back({m->identity.incarnation, m->identity.actor, status_of(*m)});
  }
  objects_.bury(dead);
  for (std::size_t i = 0; i < gone.size(); ++i) {
    gone[i]->kill_at = gone[i]->progress_by = 0;
    // Its children end with it: if it ended normally it has joined them, so these are what a death left behind.
    for (auto& [incarnation, m] : members_) {
      if (m->identity.parent != dead[i].incarnation) continue;
      m->asked_to_end = true;
      send_signal(m->pidfd, SIGKILL);
    }
    end_strays_of(dead[i].incarnation);
    abandon_supervisors(dead[i].incarnation);
  }
  for (const auto& d : dead) {
    tell_services_of_death(d);
    finish(d);
  }
  if (adopts_) look_at_adopted();
}

// Everything that it had is put right.
void hub::finish(const dead_process& d) {
  const auto m = members_.find(d.incarnation);
  announce(*m->second, d.exit);
  if (const auto p = by_pid_.find(m->second->pid); p != by_pid_.end() && p->second == d.incarnation)
    by_pid_.erase(p);  // else: used again
  release_actor(m->second->identity.actor);
  members_.erase(m);
}

void hub::announce(member& m, const exit_status& exit) {
  const std::string why = reason_of(m, exit);
  if (!m.ear.listener && m.says_ready && !m.ready)
    static_cast<void>(
        say(m.ear, refused{errc::not_started, "process '" + m.name + "' start: it ended before it was ready: " + exit.text()}));
  if (m.ear.listener) m.ear.listener->ended(exit, why);
  else tell_end(m.ear.channel, exit);
  for (auto& channel : m.watchers) tell_end(channel, exit);
  for (const auto& to : m.monitors) notify(to, m.identity.incarnation, exit);
  end_linked(m, exit);
  past_.push_back({user_of(m).process, exit});
  if (past_.size() > past_exits_kept) past_.pop_front();
  if (!is_orderly(exit) && !m.asked_to_end && !ending_all_) {
    detail::log(log_level::warning, "process '" + m.name + "' (pid " + std::to_string(m.pid) + ") ended: " + exit.text() +
                                        (why.empty() ? "" : " (" + why + ")"));
  } else {
    log_line(m, "ended: " + exit.text());
  }
}

void hub::notify(const monitor& to, std::uint32_t incarnation, const exit_status& exit) {
  exit_notice notice{{incarnation, to.pid, to.name}, exit};
  const auto bytes = [&] {
    encoder out;
    if (to.letter != 0) detail::write_head(out, detail::letter_head{detail::letter_kind::ended, 0, to.letter, 0, 0});
    out.value(notice);
    return std::vector(out.bytes().begin(), out.bytes().end());
  };
  waiting_notice whole{to.queue, bytes()};
  const auto done = objects_.deliver(whole.queue, whole.bytes);
  if (done == errc::would_block) notices_.push_back(std::move(whole));
  if (!(done == errc::too_large || done == errc::no_memory)) return;
  // A short one goes into any slot, without more memory.
  constexpr std::size_t longest_word = 64;
  notice.process.name.resize(std::min(notice.process.name.size(), longest_word));
  if (!exit.exception_type().empty())
    notice.exit = exit_status::threw(exit.exception_type().substr(0, longest_word), exit.exception_text().substr(0, longest_word));
  waiting_notice shortened{to.queue, bytes()};
  if (!objects_.delivered(shortened.queue, shortened.bytes)) notices_.push_back(std::move(shortened));
}

}  // namespace cloister::internal

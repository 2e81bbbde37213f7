// SPDX-License-Identifier: BSD-3-Clause
// Processes of the node that nobody started through the hub: daemons that a process left behind, and orphans of a launcher that died.
// Each carries the tag of the process it came from (see tag_process), and ends with it.
#include <cloister/internal/hub.hpp>

#include <cloister/internal/child.hpp>

#include <csignal>
#include <fstream>
#include <string>

#include <dirent.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cloister::internal {

std::uint32_t hub::origin_of(pid_t pid) const noexcept {
  const auto tag = tag_of(pid);
  return tag == own_tag_ ? 0 : tag;
}

void hub::stray(pid_t pid) {
  if (by_pid_.contains(pid)) return;
  const auto origin = origin_of(pid);
  if (origin == 0) return;
  strays_[pid] = origin;
  if (!members_.contains(origin)) end_strays_of(origin);
}

void hub::end_strays_of(std::uint32_t incarnation) {
  for (auto it = strays_.begin(); it != strays_.end();) {
    if (it->second != incarnation) {
      ++it;
      continue;
    }
    // The pid is looked at again through a descriptor of the process, so that it cannot be another one by now.
    const owned_fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, it->first, 0)));
    if (pidfd && origin_of(it->first) == incarnation) ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
    it = strays_.erase(it);
  }
}

// Children of the first process that are no members: what a launcher that ended, or a process that forked itself, left behind. They carry
// their origin's tag (whatever the program itself forked does not). Zombies are reaped, the others end with their origin.
void hub::look_at_adopted(bool all) {
  adopted_left_ = false;
  DIR* tasks = ::opendir("/proc/self/task");
  while (const dirent* task = tasks != nullptr ? ::readdir(tasks) : nullptr) {
    std::ifstream list("/proc/self/task/" + std::string(task->d_name) + "/children");
    for (pid_t pid = 0; list >> pid;) {
      const auto origin = origin_of(pid);
      if (origin == 0 || pid == launcher_pid_ || by_pid_.contains(pid)) continue;
      adopted_left_ = true;
      const auto m = members_.find(origin);
      if (m != members_.end() && m->second->forked && !m->second->said_hello) continue;  // its hello is on its way
      if (::waitpid(pid, nullptr, WNOHANG) == pid) continue;
      if (all || !members_.contains(origin)) ::kill(pid, SIGKILL);  // a child that only we can reap: it is still the same process
      if (all) ::waitpid(pid, nullptr, 0);
    }
  }
  if (tasks != nullptr) ::closedir(tasks);
}

}  // namespace cloister::internal

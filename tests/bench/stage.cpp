// SPDX-License-Identifier: BSD-3-Clause
// The shared page, the forked processes and the futex calls of stage.hpp.
#include "stage.hpp"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

#include "contest.hpp"

namespace bench {

stage::stage() : fd_(::memfd_create("bench-stage", MFD_CLOEXEC)), owns_fd_(true) {
  if (fd_ < 0) throw_errno("memfd_create");
  if (::ftruncate(fd_, sizeof(page)) != 0) throw_errno("ftruncate");
  map();
}

stage::stage(int fd) : fd_(fd) { map(); }

stage::~stage() {
  ::munmap(page_, sizeof(page));
  if (owns_fd_) ::close(fd_);
}

void stage::map() {
  void* at = ::mmap(nullptr, sizeof(page), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (at == MAP_FAILED) throw_errno("mmap of the stage");
  page_ = static_cast<page*>(at);  // zero is the right start for every member
}

void stage::wait_at_gate() noexcept {
  page_->ready.fetch_add(1);
  futex_wake(page_->ready, INT_MAX);
  while (page_->gate.load() == 0) futex_wait(page_->gate, 0);
}

void stage::await_ready(std::uint32_t n) {
  const auto until = now_ns() + to_ns(60);
  for (auto seen = page_->ready.load(); seen < n; seen = page_->ready.load()) {
    if (now_ns() > until)
      throw std::runtime_error("only " + std::to_string(seen) + " of " + std::to_string(n) + " processes came to the gate");
    futex_wait(page_->ready, seen, 100'000'000);
  }
}

std::int64_t stage::open_gate() noexcept {
  const auto when = now_ns();
  page_->gate.store(1);
  futex_wake(page_->gate, INT_MAX);
  return when;
}

bool stage::add_sent(std::uint64_t messages, std::uint64_t sum, int producers) noexcept {
  page_->sent.fetch_add(messages);
  page_->sent_sum.fetch_add(sum);
  return page_->finished.fetch_add(1) + 1 == static_cast<std::uint32_t>(producers);
}

void stage::add_received(std::uint64_t messages, std::uint64_t sum, std::int64_t when) noexcept {
  page_->received_sum.fetch_add(sum);
  page_->received.fetch_add(messages);
  for (auto seen = page_->last.load(); seen < when && !page_->last.compare_exchange_weak(seen, when);) {}
}

bool stage::all_received(int producers) const noexcept {
  return page_->finished.load() == static_cast<std::uint32_t>(producers) && page_->received.load() == page_->sent.load();
}

void stage::check_totals() const {
  if (page_->sent.load() == page_->received.load() && page_->sent_sum.load() == page_->received_sum.load()) return;
  throw std::runtime_error("sent " + std::to_string(page_->sent.load()) + " messages, received " +
                           std::to_string(page_->received.load()) +
                           (page_->sent.load() == page_->received.load() ? ", but not the same ones" : ""));
}

crew::~crew() {
  for (const auto pid : pids_) ::kill(pid, SIGKILL);
  for (const auto pid : pids_) ::waitpid(pid, nullptr, 0);
}

pid_t crew::add(const job& j, int side, const std::function<void()>& body) {
  std::fflush(nullptr);
  const auto parent = ::getpid();
  const auto pid = ::fork();
  if (pid < 0) throw_errno("fork");
  if (pid > 0) {
    pids_.push_back(pid);
    return pid;
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  int status = 0;
  try {
    take_processor(j, side);
    body();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "process %d: %s\n", ::getpid(), e.what());
    status = 1;
  }
  ::_exit(status);
}

void crew::join() {
  while (!pids_.empty()) {
    int status = 0;
    const auto pid = ::waitpid(-1, &status, 0);
    if (pid < 0 && errno == EINTR) continue;
    if (pid < 0) throw_errno("waitpid");
    if (std::erase(pids_, pid) == 0 || status == 0) continue;
    throw std::runtime_error("process " + std::to_string(pid) +
                             (WIFSIGNALED(status) ? " ended by signal " + std::to_string(WTERMSIG(status))
                                                  : " ended with exit " + std::to_string(WEXITSTATUS(status))));
  }
}

void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t seen, std::int64_t timeout_ns) noexcept {
  timespec timeout{static_cast<time_t>(timeout_ns / 1'000'000'000), static_cast<long>(timeout_ns % 1'000'000'000)};
  ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, timeout_ns < 0 ? nullptr : &timeout, nullptr, 0);
}

void futex_wake(std::atomic<std::uint32_t>& word, int count) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, count, nullptr, nullptr, 0);
}

void hold_ballast(std::size_t mib) {
  static std::unique_ptr<char[]> ballast;
  if (mib == 0) return;
  ballast.reset(new char[mib << 20]);
  std::memset(ballast.get(), 1, mib << 20);
}

}  // namespace bench

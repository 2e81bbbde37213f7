// SPDX-License-Identifier: BSD-3-Clause
// The stop flag, the table of sleeping threads, and the descriptor.
//
// The table is Dekker's pattern twice, all operations seq_cst:
//   handler: store flag;  users += 1;  load word;  (bump, wake);  users -= 1
//   sleeper: store word;  load flag ... sleep ...;  store word = null;  wait for users == 0
// The first pair: the handler sees the word or the sleeper sees the flag. The second: a handler that still saw the word
// is counted in `users`, so the sleeper does not return (and unmap the word's memory) under it. The sleeper waits for a
// handler only, and a handler never waits, on whichever thread it runs.
#include <cloister/detail/stop.hpp>

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <climits>
#include <mutex>

namespace cloister::detail {
namespace {

struct alignas(64) table_entry {
  std::atomic<std::atomic<std::uint32_t>*> word{nullptr};
  std::atomic<std::uint32_t> users{0};
};
static_assert(std::atomic<std::atomic<std::uint32_t>*>::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free);

constinit std::array<table_entry, sleep_table_size> table{};
constinit std::atomic<int> event_fd{-1};

void write_event(int fd) noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = ::write(fd, &one, sizeof one);
}

// In a forked child: the registered threads and running handlers stayed in the parent, and the descriptor's file is
// shared with it.
void after_fork_in_child() noexcept {
  for (auto& e : table) {
    e.word.store(nullptr);
    e.users.store(0);
  }
  if (const int fd = event_fd.exchange(-1); fd >= 0) ::close(fd);
}

void install_fork_handler() noexcept {
  static std::once_flag once;
  std::call_once(once, [] { ::pthread_atfork(nullptr, nullptr, after_fork_in_child); });
}

}  // namespace

std::optional<errc> stop_reason() noexcept {
  const auto word = stop_word.load(std::memory_order_acquire);
  if (word == 0) return {};
  return static_cast<errc>(word - 1);
}

void request_stop(errc reason) noexcept {
  const int saved = errno;
  std::uint32_t none = 0;
  stop_word.compare_exchange_strong(none, 1 + static_cast<std::uint32_t>(reason));
  for (auto& e : table) {
    if (e.word.load() == nullptr) continue;
    e.users.fetch_add(1);
    if (auto* word = e.word.load()) {
      word->fetch_add(1);
      ::syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
    }
    e.users.fetch_sub(1);
  }
  if (const int fd = event_fd.load(); fd >= 0) write_event(fd);
  errno = saved;
}

void clear_stop() noexcept {
  stop_word.store(0);
  if (const int fd = event_fd.load(); fd >= 0) {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto n = ::read(fd, &count, sizeof count);
  }
}

int stop_fd() noexcept {
  if (const int fd = event_fd.load(); fd >= 0) return fd;
  install_fork_handler();
  const int made = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (made < 0) return -1;
  int none = -1;
  if (!event_fd.compare_exchange_strong(none, made)) {
    ::close(made);
    return none;
  }
  if (stop_requested()) write_event(made);  // a handler that ran before the exchange did not see the descriptor
  return made;
}

sleep_registration::sleep_registration(std::atomic<std::uint32_t>& word) noexcept : slot_(-1) {
  install_fork_handler();
  thread_local unsigned hint = static_cast<unsigned>(::syscall(SYS_gettid));
  for (unsigned i = 0; i < sleep_table_size; ++i) {
    const unsigned at = (hint + i) % sleep_table_size;
    std::atomic<std::uint32_t>* none = nullptr;
    if (table[at].word.load(std::memory_order_relaxed) == nullptr && table[at].word.compare_exchange_strong(none, &word)) {
      hint = at;
      slot_ = static_cast<int>(at);
      return;
    }
  }
}

sleep_registration::~sleep_registration() {
  if (slot_ < 0) return;
  auto& e = table[static_cast<unsigned>(slot_)];
  e.word.store(nullptr);
  while (e.users.load() != 0) ::sched_yield();
}

}  // namespace cloister::detail

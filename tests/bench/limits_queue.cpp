// SPDX-License-Identifier: BSD-3-Clause
// Limits of the queue contest: what the machine gives when nothing is promised.
//
// `bare ring`: a single-producer ring of fixed slots in shared memory, one memcpy in and one out, spinning; it has no
// sleeping, no growth, no owner, no repair. N producers and N consumers are N rings side by side: no queue at all, but
// the bound for any. `pipe`: pipe(2); several writers and readers share one while a message fits PIPE_BUF.
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <climits>
#include <memory>
#include <new>
#include <vector>

#include "limits.hpp"
#include "stage.hpp"
#include "traffic.hpp"

namespace bench {
namespace {

class bare_ring {
 public:
  bare_ring(std::size_t slots, std::size_t bytes)
      : slots_(std::bit_ceil(slots)), bytes_(bytes), length_(sizeof(ends) + slots_ * bytes_) {
    void* at = ::mmap(nullptr, length_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (at == MAP_FAILED) throw_errno("mmap of a ring");
    ends_ = new (at) ends;
    data_ = static_cast<std::byte*>(at) + sizeof(ends);
  }
  bare_ring(const bare_ring&) = delete;
  bare_ring& operator=(const bare_ring&) = delete;
  ~bare_ring() { ::munmap(ends_, length_); }

  void put(std::span<const std::byte> message) noexcept {
    wait([&] { return mine_ - seen_ < slots_ || mine_ - (seen_ = ends_->head.load(std::memory_order_acquire)) < slots_; });
    std::memcpy(slot(mine_), message.data(), bytes_);
    ends_->tail.store(++mine_, std::memory_order_release);
  }

  void get(std::span<std::byte> room) noexcept {
    wait([&] { return mine_ != seen_ || mine_ != (seen_ = ends_->tail.load(std::memory_order_acquire)); });
    std::memcpy(room.data(), slot(mine_), bytes_);
    ends_->head.store(++mine_, std::memory_order_release);
  }

 private:
  struct ends {
    alignas(128) std::atomic<std::uint64_t> head{0};
    alignas(128) std::atomic<std::uint64_t> tail{0};
  };

  std::byte* slot(std::uint64_t position) noexcept { return data_ + (position & (slots_ - 1)) * bytes_; }

  template <class Ready>
  static void wait(Ready&& ready) noexcept {
    for (int spins = 0; !ready(); ++spins) {
      if (spins < 2000) relax();
      else ::sched_yield();
    }
  }

  const std::size_t slots_;
  const std::size_t bytes_;
  const std::size_t length_;
  ends* ends_;
  std::byte* data_;
  std::uint64_t mine_ = 0;  // this side's end; private to the process after fork
  std::uint64_t seen_ = 0;  // the other's, as last read
};

class stream {
 public:
  explicit stream(std::size_t bytes) {
    if (::pipe2(ends_, O_CLOEXEC) != 0) throw_errno("pipe");
    ::fcntl(ends_[1], F_SETPIPE_SZ, static_cast<int>(std::min<std::size_t>(std::max<std::size_t>(bytes, 65536), 1 << 20)));
  }
  stream(const stream&) = delete;
  stream& operator=(const stream&) = delete;
  ~stream() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  void put(std::span<const std::byte> from) { write_all(ends_[1], from.data(), from.size()); }
  void get(std::span<std::byte> to) { read_all(ends_[0], to.data(), to.size()); }

 private:
  int ends_[2];
};

/// As many channels as pairs; each pair has its own.
template <class Channel, class... Arguments>
figures side_by_side(const job& j, const Arguments&... arguments) {
  if (j.producers != j.consumers) throw not_applicable("pairs only");
  std::vector<std::unique_ptr<Channel>> channels;
  for (int i = 0; i < j.producers; ++i) channels.push_back(std::make_unique<Channel>(arguments...));
  stage s;
  crew members;
  auto pair = j;
  pair.producers = 1;
  for (const auto& c : channels) {
    members.add(j, 0, [&] {
      auto end = make_message(j.bytes);
      set_number(end, 0);
      produce_until_stop(s, pair, [&](std::span<const std::byte> m) { c->put(m); });
      c->put(end);
    });
    members.add(j, 1, [&] { consume(s, pair, [&](std::span<std::byte> m) { c->get(m); }); });
  }
  return measure(s, members, j);
}

}  // namespace

void write_all(int fd, const void* from, std::size_t bytes) {
  for (auto* at = static_cast<const char*>(from); bytes > 0;) {
    const auto n = ::write(fd, at, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("write");
    at += n;
    bytes -= static_cast<std::size_t>(n);
  }
}

void read_all(int fd, void* to, std::size_t bytes) {
  for (auto* at = static_cast<char*>(to); bytes > 0;) {
    const auto n = ::read(fd, at, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("read");
    if (n == 0) throw std::runtime_error("the other end is closed");
    at += n;
    bytes -= static_cast<std::size_t>(n);
  }
}

figures bare_ring_queue(const job& j) { return side_by_side<bare_ring>(j, j.depth, j.bytes); }

figures pipe_queue(const job& j) {
  if (j.bytes > PIPE_BUF) return side_by_side<stream>(j, j.bytes);
  stream one(j.bytes);
  stage s;
  crew members;
  for (int i = 0; i < j.producers; ++i)
    members.add(j, 0, [&] { produce(s, j, [&](std::span<const std::byte> m) { one.put(m); }); });
  for (int i = 0; i < j.consumers; ++i) members.add(j, 1, [&] { consume(s, j, [&](std::span<std::byte> m) { one.get(m); }); });
  return measure(s, members, j);
}

}  // namespace bench

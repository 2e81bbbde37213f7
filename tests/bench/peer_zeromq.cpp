// SPDX-License-Identifier: BSD-3-Clause
// ZeroMQ as a contestant: PUSH and PULL sockets over ipc (an abstract unix socket, nothing in the file system).
//
// ZeroMQ has no queue that several readers share. Its natural form for N producers and consumers: each consumer binds
// one PULL socket, each producer connects one PUSH socket to all of them, which deals messages out in turn. The high
// water marks are the contest's depth. Since dealt messages cannot be aimed, consumers stop by counting.
// A round trip uses a pair of PAIR sockets. Contexts are made after fork, in each process.
#include <unistd.h>
#include <zmq.h>

#include <cerrno>
#include <memory>
#include <string>

#include "contest.hpp"
#include "memory_use.hpp"
#include "round_trip.hpp"
#include "stage.hpp"
#include "traffic.hpp"

namespace {

using bench::figures;
using bench::job;
using bench::note;

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what + ": " + zmq_strerror(zmq_errno())); }

class context {
 public:
  context() : context_(zmq_ctx_new()) {}
  context(const context&) = delete;
  context& operator=(const context&) = delete;
  ~context() { zmq_ctx_term(context_); }  // waits until everything is sent
  void* get() const noexcept { return context_; }

 private:
  void* context_;
};

class socket {
 public:
  socket(const context& c, int type, std::size_t depth) : socket_(zmq_socket(c.get(), type)) {
    if (socket_ == nullptr) fail("zmq_socket");
    option(ZMQ_SNDHWM, static_cast<int>(depth));
    option(ZMQ_RCVHWM, static_cast<int>(depth));
  }
  socket(const socket&) = delete;
  socket& operator=(const socket&) = delete;
  ~socket() { zmq_close(socket_); }

  void option(int name, int value) {
    if (zmq_setsockopt(socket_, name, &value, sizeof(value)) != 0) fail("zmq_setsockopt");
  }
  void bind(const std::string& address) {
    if (zmq_bind(socket_, address.c_str()) != 0) fail("zmq_bind");
  }
  void connect(const std::string& address) {
    if (zmq_connect(socket_, address.c_str()) != 0) fail("zmq_connect");
  }
  void put(const void* from, std::size_t bytes) {
    while (zmq_send(socket_, from, bytes, 0) < 0)
      if (zmq_errno() != EINTR) fail("zmq_send");
  }
  /// False if nothing came in the socket's time (ZMQ_RCVTIMEO); without one, it waits for ever.
  bool get(void* to, std::size_t bytes) {
    for (;;) {
      if (zmq_recv(socket_, to, bytes, 0) >= 0) return true;
      if (zmq_errno() == EAGAIN) return false;
      if (zmq_errno() != EINTR) fail("zmq_recv");
    }
  }

 private:
  void* socket_;
};

std::string address(pid_t owner, int i) { return "ipc://@bench-" + std::to_string(owner) + '-' + std::to_string(i); }

void pull(bench::stage& s, const job& j, pid_t owner, int i) {
  const context c;
  socket in(c, ZMQ_PULL, j.depth);
  in.option(ZMQ_RCVTIMEO, 10);
  in.bind(address(owner, i));
  std::vector<std::byte> message(j.bytes);
  std::uint64_t messages = 0;
  std::uint64_t sum = 0;
  std::int64_t last = 0;
  s.wait_at_gate();
  while (!s.all_received(j.producers)) {
    if (in.get(message.data(), message.size())) {
      ++messages;
      sum += bench::number_of(message);
      if (s.stopping()) last = bench::now_ns();  // before that, some other message will be the last
    } else {
      s.add_received(messages, sum, last);
      messages = sum = 0;
    }
  }
}

void push(bench::stage& s, const job& j, pid_t owner) {
  const context c;
  socket out(c, ZMQ_PUSH, j.depth);
  for (int i = 0; i < j.consumers; ++i) out.connect(address(owner, i));
  bench::produce_until_stop(s, j, [&](std::span<const std::byte> m) { out.put(m.data(), m.size()); });
  // A connection that is closed while its reader is at the high water mark was seen to lose what is still on the way.
  while (!s.all_received(j.producers)) ::usleep(1000);
}

figures queue(const job& j) {
  bench::stage s;
  bench::crew members;
  const auto owner = ::getpid();
  for (int i = 0; i < j.consumers; ++i) members.add(j, 1, [&] { pull(s, j, owner, i); });
  s.await_ready(static_cast<std::uint32_t>(j.consumers));  // bound
  for (int i = 0; i < j.producers; ++i) members.add(j, 0, [&] { push(s, j, owner); });
  return bench::measure(s, members, j);
}

figures round_trip(const job& j) {
  if (j.manner == "awake") throw bench::not_applicable("its I/O threads sleep");
  const auto owner = ::getpid();
  bench::stage s;
  bench::crew members;
  members.add(j, 1, [&] {
    const context c;
    socket peer(c, ZMQ_PAIR, 16);
    peer.bind(address(owner, 0));
    s.wait_at_gate();
    note n;
    for (;;) {
      while (!peer.get(&n, sizeof(n))) {}
      if (!bench::echo(n, j)) return;
      peer.put(&n, sizeof(n));
    }
  });
  s.await_ready(1);
  s.open_gate();
  bench::take_processor(j, 0);
  bench::pinger p(j);
  {
    const context c;
    socket peer(c, ZMQ_PAIR, 16);
    peer.connect(address(owner, 0));
    note n = p.first();
    do {
      peer.put(&n, sizeof(n));
      while (!peer.get(&n, sizeof(n))) {}
    } while (p.next(n));
    peer.put(&n, sizeof(n));
  }
  members.join();
  return p.result();
}

/// Private memory of a connected PUSH and PULL pair, of many in one context; what is in the kernel is not seen.
figures memory(const job& j) {
  const context c;
  std::vector<std::unique_ptr<socket>> sockets;
  const auto owner = ::getpid();
  const auto add_pair = [&](int i) {
    sockets.push_back(std::make_unique<socket>(c, ZMQ_PULL, 1000));
    sockets.back()->bind(address(owner, i));
    sockets.push_back(std::make_unique<socket>(c, ZMQ_PUSH, 1000));
    sockets.back()->connect(address(owner, i));
    char byte = 0;
    sockets.back()->put(&byte, 1);
    sockets[sockets.size() - 2]->get(&byte, 1);
  };
  add_pair(0);
  const auto before = bench::anonymous_kib(owner);
  for (int i = 1; i <= j.count; ++i) add_pair(i);
  return {{"each", (bench::anonymous_kib(owner) - before) / j.count}};
}

std::string version() {
  int major = 0;
  int minor = 0;
  int patch = 0;
  zmq_version(&major, &minor, &patch);
  return "ZeroMQ " + std::to_string(major) + '.' + std::to_string(minor) + '.' + std::to_string(patch);
}

}  // namespace

int main(int argc, char** argv) {
  static const bench::contestant table[] = {
      {"queue", "PUSH/PULL ipc", queue},
      {"round-trip", "PAIR ipc", round_trip},
      {"memory", "PUSH/PULL ipc", memory},
  };
  return bench::contestant_main(argc, argv, version(), table);
}

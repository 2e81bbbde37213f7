// SPDX-License-Identifier: BSD-3-Clause
// A process that misuses its control socket harms itself only.
#include "process_support.hpp"

#include <cloister/detail/membership.hpp>

#include <csignal>
#include <cstring>

#include <sys/socket.h>
#include <unistd.h>

using namespace cloister;
using namespace support;

namespace {

// The only socket that a fresh child has open.
int control_socket() {
  for (int fd = 3; fd < 64; ++fd) {
    int type = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET) return fd;
  }
  ::_exit(50);
}

void misuse(queue<int> ready, std::string how) {
  const int fd = control_socket();
  ready.put(1);
  std::vector<unsigned char> bytes(how == "long" ? 60'000 : 40);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(i * 37 + 200);
  if (how == "close") ::close(fd);
  else if (how == "shutdown") ::shutdown(fd, SHUT_RDWR);
  else if (how == "empty") ::send(fd, "", 0, 0);
  else ::send(fd, bytes.data(), bytes.size(), 0);
  for (;;) ::pause();
}

}  // namespace

TEST_CASE("a child that sends garbage to the hub, or closes its control socket, is killed, and nobody else is") {
  const auto how = GENERATE(values({start_method::forkserver, start_method::spawn}));
  const std::string what = GENERATE("garbage", "long", "close", "shutdown", "empty");
  INFO(what);
  queue<int> go{here()}, back{here()}, ready{here()};
  process good{here(), by(how), [](queue<int> in, queue<int> out) { out.put(in.get() + 1); }, go, back};
  process bad{here(), {.start = how}, misuse, ready, what};
  ready.get();
  CHECK(bad.join().signal() == SIGKILL);
  go.put(1);
  CHECK(back.get() == 2);
  CHECK(good.join().success());
}

TEST_CASE("a child may only signal what it started") {
  queue<int> to{here()};
  process victim{here(), sleep_long};
  process other{here(), [](process_id who, queue<int> out) {
    // The library has no such call: the request is made by hand.
    detail::membership::require().signal(who.incarnation, SIGKILL, 0);
    detail::membership::require().synchronise();
    out.put(1);
  }, victim.id(), to};
  to.get();
  CHECK(victim.is_alive());
  CHECK(other.join().success());
  victim.terminate();
  CHECK(victim.join().signal() == SIGTERM);
}

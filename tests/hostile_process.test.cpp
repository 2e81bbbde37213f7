// SPDX-License-Identifier: BSD-3-Clause
// A process that misuses its control socket harms itself only.
#include "process_support.hpp"

#include <cloister/detail/membership.hpp>
#include <cloister/internal/control.hpp>

#include <algorithm>
#include <csignal>
#include <cstring>

#include <fcntl.h>
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

// A request made by hand. `hub`: control_socket() before any other socket was opened.
void ask(int hub, const internal::request& what, const std::vector<int>& fds = {}) {
  internal::send_datagram(hub, encode(what), fds);
}

std::uint64_t number_of(const queue<int>& q) { return detail::object_of(q.handle()).id(); }

void pin_wrongly(queue<int> q, std::string how) {
  const int hub = control_socket();
  const auto token = detail::membership::require().next_token();
  const auto carrier = number_of(q);
  const internal::pin one{how == "another's token" ? token + (std::uint64_t{1} << 32) : token, {carrier, detail::no_role}};
  if (how == "a place in a third direction") ask(hub, internal::place_pins{carrier, 2, {token}, 0});
  else ask(hub, internal::pin_handles{carrier, how == "a third direction" ? 2U : 0U, {one}});
  for (;;) ::pause();
}

// Pins whose message is consumed already, so that each next one asks for a sweep; faster than the hub can take them.
void pin_without_end(queue<int> q) {
  const int hub = control_socket();
  const auto token = detail::membership::require().next_token();
  const auto carrier = number_of(q);
  q.put(1);
  q.get();
  const auto pin = encode(internal::request{internal::pin_handles{carrier, 0, {{token, {carrier, detail::no_role}}}}});
  const auto place = encode(internal::request{internal::place_pins{carrier, 0, {token}, 0}});
  for (int i = 0; i < 30'000; ++i) {
    internal::send_datagram(hub, pin, {});
    internal::send_datagram(hub, place, {});
  }
}

void redeem_without_end(queue<int> ready, queue<int> carrier) {
  const int hub = control_socket();
  auto [mine, theirs] = internal::socket_pair();
  ready.put(1);
  for (;;) ask(hub, internal::redeem_pin{number_of(carrier), 77}, {theirs.get()});
}

// Offers a full pipe, on which a write would wait for ever, as the bell of `q`.
void offer_full_pipe(queue<int> q, queue<int> ready) {
  const int hub = control_socket();
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) ::_exit(51);
  const int size = ::fcntl(ends[1], F_GETPIPE_SZ);
  const std::vector<char> full(static_cast<std::size_t>(size));
  if (::write(ends[1], full.data(), full.size()) != size) ::_exit(52);
  auto [mine, theirs] = internal::socket_pair();
  for (std::uint32_t which = 0; which < 2; ++which) ask(hub, internal::get_bell{number_of(q), which}, {theirs.get(), ends[1]});
  internal::datagram answer;
  for (int i = 0; i < 2; ++i) internal::receive_datagram(mine.get(), answer);
  ready.put(1);
  for (;;) ::pause();
}

// Asks for the handle in a message of `carrier` and hangs up before the answer; then takes nothing, and stays.
void hang_up(queue<queue<int>> carrier, std::uint64_t token, queue<int> ready) {
  const int hub = control_socket();
  auto [mine, theirs] = internal::socket_pair();
  mine.reset();
  ask(hub, internal::redeem_pin{detail::object_of(carrier.handle()).id(), token}, {theirs.get()});
  detail::membership::require().synchronise();
  ready.put(1);
  sleep_long();
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
  process other{here(),
                [](process_id who, queue<int> out) {
                  // The library has no such call: the request is made by hand.
                  detail::membership::require().signal(who.incarnation, SIGKILL, 0);
                  detail::membership::require().synchronise();
                  out.put(1);
                },
                victim.id(), to};
  to.get();
  CHECK(victim.is_alive());
  CHECK(other.join().success());
  victim.terminate();
  CHECK(victim.join().signal() == SIGTERM);
}

TEST_CASE("a child that asks for its parent again and again costs the first process nothing") {
  const auto how = GENERATE(values({start_method::forkserver, start_method::fork}));
  queue<int> said{here()}, go{here()};
  process p{here(), by(how),
            [](queue<int> out, queue<int> in) {
              for (int i = 0; i < 300; ++i) {
                if (!parent_process()->is_alive()) ::_exit(1);
                if (i == 10 || i == 299) out.put(i);
                if (i == 10) in.get();
              }
              in.get();
            },
            said, go};
  said.get();
  const auto before = harness::open_descriptors().size();
  go.put(1);
  said.get();
  CHECK(harness::open_descriptors().size() <= before + 1);
  go.put(1);
  CHECK(p.join().success());
}

TEST_CASE("the hub keeps no exit channel whose other end was closed") {
  queue<int> said{here()}, go{here()};
  process p{here(),
            [](queue<int> out, queue<int> in) {
              const int hub = control_socket();
              for (int i = 0; i < 300; ++i) {
                auto [mine, theirs] = internal::socket_pair();
                auto [mine_too, channel] = internal::socket_pair();
                ask(hub, internal::watch_process{1}, {theirs.get(), channel.get()});
              }
              detail::membership::require().synchronise();
              out.put(1);
              in.get();
            },
            said, go};
  const auto before = harness::open_descriptors().size();
  said.get();
  CHECK(harness::open_descriptors().size() < before + 20);
  go.put(1);
  CHECK(p.join().success());
}

TEST_CASE("a child that pins what no correct process does is killed") {
  const std::string what = GENERATE("a third direction", "a place in a third direction", "another's token");
  INFO(what);
  queue<int> q{here()};
  process bad{here(), pin_wrongly, q, what};
  CHECK(bad.join(20s).value().signal() == SIGKILL);
  process good{here(), [] {}};
  CHECK(good.join().success());
}

TEST_CASE("a child that pins without end makes the hub busy, not deep") {
  queue<int> q{here()};
  process bad{here(), pin_without_end, q};
  CHECK(bad.join().success());
}

TEST_CASE("children that redeem what nobody pinned, again and again, do not keep the hub from starting others") {
  queue<int> ready{here()}, carrier{here()};
  std::vector<process> bad;
  for (int i = 0; i < 4; ++i) bad.emplace_back(here(), redeem_without_end, ready, carrier);
  for (int i = 0; i < 4; ++i) ready.get();
  for (int i = 0; i < 10; ++i) {
    process good{here(), [] {}};
    CHECK(good.join(20s).value().success());
  }
  for (auto& p : bad) p.kill();
  for (auto& p : bad) CHECK(p.join().signal() == SIGKILL);
}

TEST_CASE("a full pipe offered as a bell holds nobody up who rings it") {
  queue<int> q{here(), {.max_items = 1}}, ready{here()};
  process bad{here(), offer_full_pipe, q, ready};
  ready.get();
  CHECK_FALSE(wait_any({q}, 20ms));  // arms the bell
  process puts{here(), [](queue<int> to) { to.put(1); }, q};
  CHECK(puts.join(20s).value().success());
  CHECK(wait_any({q}, 20s));
  CHECK(q.get() == 1);
  bad.kill();
}

TEST_CASE("a handle whose receiver hung up is not the receiver's") {
  queue<queue<int>> carrier{here()};
  queue<int> ready{here()};
  const auto token = detail::membership::require().next_token() + 1;
  {
    queue<int> q{here(), {.name = "asked for in vain"}};
    carrier.put(q);
  }
  process asks{here(), hang_up, carrier, token, ready};
  ready.get();
  static_cast<void>(carrier.get());  // and drops it: nobody has it now
  CHECK(harness::eventually([] {
    const auto open = harness::open_descriptors();
    return std::none_of(open.begin(), open.end(), [](const auto& d) { return d.find("asked for in vain") != std::string::npos; });
  }));
  asks.kill();
}

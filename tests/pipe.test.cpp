// SPDX-License-Identifier: BSD-3-Clause
// The typed pipe as its users see it.
#include "harness.hpp"

#include <cloister/cloister.hpp>

#include <csignal>
#include <string>
#include <vector>

using namespace cloister;
using namespace std::literals;
using harness::here;

namespace {

using bytes = std::vector<std::byte>;

void echo(pipe_end<std::string> peer) {
  while (auto m = peer.recv(30s)) peer.send(*m);
}

}  // namespace

TEST_CASE("a conversation over a pipe keeps its order, whatever the start method") {
  const auto method = GENERATE(start_method::forkserver, start_method::spawn, start_method::fork);
  auto [mine, theirs] = pipe<std::string>(*here);
  process p{*here, {.start = method}, echo, std::move(theirs)};
  for (const std::string s : {"hello", "", "what is your name?", ""}) {
    mine.send(s);
    REQUIRE(mine.recv(20s).value() == s);
  }
  mine.close();
  REQUIRE(p.join().success());
}

TEST_CASE("16 MB and 100 MB messages arrive whole") {
  const auto method = GENERATE(start_method::forkserver, start_method::spawn, start_method::fork);
  auto [mine, theirs] = pipe<bytes>(*here);
  process p{*here,
            {.start = method},
            [](pipe_end<bytes> peer) {
              for (int i = 0; i < 2; ++i) peer.send(peer.recv());
            },
            std::move(theirs)};
  for (const std::size_t size : {std::size_t{16'000'000}, std::size_t{100'000'000}}) {
    bytes large(size);
    for (std::size_t i = 0; i < size; i += 997) large[i] = static_cast<std::byte>(i);
    mine.send(large);
    REQUIRE(mine.recv(60s).value() == large);
  }
}

TEST_CASE("poll says whether a message is there, and consumes nothing") {
  auto [mine, theirs] = pipe<std::string>(*here);
  REQUIRE_FALSE(mine.poll());
  REQUIRE(mine.poll(20ms) == errc::timed_out);
  REQUIRE(mine.poll(deadline::passed()) == errc::would_block);
  for (int i = 0; i < 3; ++i) theirs.send("");
  for (int i = 0; i < 3; ++i) {
    REQUIRE(mine.poll());
    REQUIRE(mine.poll(1s));
    REQUIRE(mine.recv().empty());
  }
  REQUIRE_FALSE(mine.poll());
  theirs.close();
  REQUIRE(mine.poll(20s));  // for the end
  REQUIRE(mine.try_recv() == errc::closed);
}

TEST_CASE("bytes are received into a buffer; one too small is an error that loses nothing") {
  auto [mine, theirs] = pipe<bytes>(*here);
  const bytes message(100, std::byte{7});
  theirs.send_bytes(message);
  bytes small(10), large(200);
  REQUIRE(mine.recv_into(small, 1s) == errc::too_large);
  REQUIRE(mine.recv_into(std::span(large).subspan(50)) == 100);
  REQUIRE((large[49] == std::byte{0} && large[50] == std::byte{7} && large[149] == std::byte{7} && large[150] == std::byte{0}));
  theirs.send_bytes(std::span(message).subspan(90));
  REQUIRE(mine.recv().size() == 10);
}

TEST_CASE("bytes that are no message are an error of one receive, and not in the way of the next") {
  auto [mine, theirs] = pipe<bytes>(*here);
  const auto send = [&handle = theirs.handle()](const bytes& what) {
    REQUIRE(detail::send_bytes(detail::object_of(handle), handle.role() - detail::end_a, what, 1s));
  };
  send({std::byte{200}, std::byte{1}});              // a length without its bytes
  send({std::byte{1}, std::byte{7}, std::byte{8}});  // a byte too many
  theirs.send_bytes(bytes(3, std::byte{7}));
  bytes buffer(10);
  REQUIRE(mine.recv_into(buffer, 1s) == errc::undecodable);
  REQUIRE(mine.recv_into(buffer, 1s) == errc::undecodable);
  REQUIRE(mine.recv_into(buffer, 1s).value() == 3);
}

TEST_CASE("one way goes one way") {
  const auto method = GENERATE(start_method::forkserver, start_method::spawn, start_method::fork);
  auto [in, out] = one_way<int>(*here);
  process p{*here,
            {.start = method},
            [](pipe_end<int, void> to) {
              for (int i = 0; i < 100; ++i) to.send(i);
            },
            std::move(out)};
  for (int i = 0; i < 100; ++i) REQUIRE(in.recv(20s).value() == i);
  REQUIRE(in.recv(20s) == errc::closed);
}

TEST_CASE("two directions may carry two types") {
  auto [client, server] = pipe<int, std::string>(*here);
  process p{*here, [](pipe_end<std::string, int> peer) { peer.send(std::to_string(peer.recv())); }, std::move(server)};
  client.send(42);
  REQUIRE(client.recv(20s).value() == "42");
}

TEST_CASE("promise 37: the death of the other end's owner is heard, with its exit status, after what it had sent") {
  const auto method = GENERATE(start_method::forkserver, start_method::spawn, start_method::fork);
  auto [mine, theirs] = pipe<int>(*here);
  queue<int> sent{*here};
  process p{*here,
            {.start = method},
            [](pipe_end<int> peer, sink<int> done) {
              for (int i = 0; i < 3; ++i) peer.send(i);
              done.put(3);
              this_process::sleep_for(1h);
            },
            std::move(theirs),
            sent};
  // A process that merely was started meanwhile holds nothing of it.
  process other{*here, [](pipe_end<int> in) { static_cast<void>(in.recv(1h)); }, pipe<int>(*here).second};
  REQUIRE(mine.recv(20s).value() == 0);
  REQUIRE(sent.get() == 3);
  p.kill();
  p.join();
  REQUIRE(mine.recv(20s).value() == 1);
  REQUIRE(mine.recv(20s).value() == 2);
  const auto end = mine.recv(20s);
  REQUIRE(end == errc::peer_down);
  REQUIRE(end.error().exit() != nullptr);
  REQUIRE(end.error().exit()->signal() == SIGKILL);
  REQUIRE(mine.try_send(1) == errc::peer_down);
  other.terminate();
}

TEST_CASE("a blocked recv hears of the death while it waits") {
  auto [mine, theirs] = pipe<int>(*here);
  process p{*here,
            [](pipe_end<int> peer) {
              peer.recv();
              ::raise(SIGKILL);
            },
            std::move(theirs)};
  mine.send(1);
  REQUIRE(mine.recv(30s) == errc::peer_down);
}

TEST_CASE("closing our end in the parent right after the start does not harm the child") {
  const auto method = GENERATE(start_method::forkserver, start_method::spawn, start_method::fork);
  auto [mine, theirs] = pipe<int>(*here);
  mine.send(1);
  process p{*here,
            {.start = method},
            [](pipe_end<int> peer) {
              if (peer.recv() != 1 || !(peer.recv(30s) == errc::closed)) throw std::runtime_error("unexpected");
            },
            std::move(theirs)};
  REQUIRE_FALSE(theirs);
  REQUIRE_THROWS_AS(theirs.send(1), failure);
  mine.close();
  REQUIRE_THROWS_AS(mine.recv(), failure);
  REQUIRE(p.join().success());
}

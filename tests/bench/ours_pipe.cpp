// SPDX-License-Identifier: BSD-3-Clause
// cloister::pipe as a contestant: one to one, bounded to the bytes of the contest's depth.
//
// Messages of 64 bytes and 1 KiB are arrays; larger ones go from and into the caller's memory (send_bytes, recv_into).
#include <cloister/fd.hpp>
#include <cloister/pipe.hpp>
#include <cloister/process.hpp>

#include <unistd.h>

#include <array>
#include <concepts>
#include <cstddef>
#include <stdexcept>
#include <utility>
#include <vector>

#include "memory_use.hpp"
#include "ours.hpp"
#include "round_trip.hpp"
#include "stage.hpp"
#include "traffic.hpp"

using namespace cloister;

namespace bench {
namespace {

using bytes = std::vector<std::byte>;

template <class Message>
void send_all(pipe_end<Message, void> to, owned_fd fd, job j) {
  take_processor(j, 0);
  stage s(fd.get());
  if constexpr (std::same_as<Message, bytes>) {
    produce(s, j, [&](const bytes& m) { to.send_bytes(m); });
  } else {
    produce<Message>(s, j, [&](const Message& m) { to.send(m); });
  }
}

template <class Message>
void receive_all(pipe_end<void, Message> from, owned_fd fd, job j) {
  take_processor(j, 1);
  stage s(fd.get());
  if constexpr (std::same_as<Message, bytes>) {
    consume(s, j, [&](std::span<std::byte> room) { from.recv_into(room); });
  } else {
    consume_numbers(s, [&] { return number_of(from.recv()); });
  }
}

template <class Message>
figures traffic(const job& j) {
  auto [in, out] = one_way<Message>(here(), {.max_bytes = j.depth * (j.bytes + 64)});
  stage s;
  std::vector<process> processes;
  processes.emplace_back(here(), send_all<Message>, std::move(out), copy_of(s), j);
  processes.emplace_back(here(), receive_all<Message>, std::move(in), copy_of(s), j);
  return measure(s, j, 2, [&] { join_all(processes); });
}

void echo_notes(pipe_end<note> peer, job j) {
  take_processor(j, 1);
  for (note n = peer.recv(); echo(n, j); n = peer.recv()) peer.send(n);
}

}  // namespace

figures our_pipe(const job& j) {
  if (j.producers != 1 || j.consumers != 1) throw not_applicable("a pipe has two ends");
  if (j.bytes == 64) return traffic<std::array<std::byte, 64>>(j);
  if (j.bytes == 1024) return traffic<std::array<std::byte, 1024>>(j);
  return traffic<bytes>(j);
}

figures our_pipe_round_trip(const job& j) {
  auto [mine, theirs] = pipe<note>(here());
  const process echoing{here(), echo_notes, std::move(theirs), j};
  take_processor(j, 0);
  pinger p(j);
  note n = p.first();
  do {
    mine.send(n);
    n = mine.recv();
  } while (p.next(n));
  mine.send(n);
  return p.result();
}

figures our_pipe_memory(const job& j) {
  std::vector<std::pair<pipe_end<note>, pipe_end<note>>> pipes;
  return memory_of_each(j, [&] {
    auto& [a, b] = pipes.emplace_back(pipe<note>(here()));
    a.send({});
    b.recv();
  });
}

}  // namespace bench

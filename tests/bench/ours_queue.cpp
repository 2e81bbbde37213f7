// SPDX-License-Identifier: BSD-3-Clause
// cloister::queue as a contestant: bounded to the contest's depth, otherwise by default; processes by the default start method.
//
// Messages of 64 bytes and 1 KiB are arrays (flat: copied straight into the queue), larger ones are vectors. All producers
// and consumers share one queue. `leases` takes each message on loan and acknowledges it: delivery that survives a death.
// A round trip uses two queues.
#include <cloister/queue.hpp>

#include <array>
#include <cstddef>
#include <vector>

#include "ours.hpp"
#include "round_trip.hpp"
#include "stage.hpp"
#include "traffic.hpp"

using namespace cloister;

namespace bench {
namespace {

template <std::size_t Bytes>
using block = std::array<std::byte, Bytes>;
using bytes = std::vector<std::byte>;

template <class Message>
void put_all(sink<Message> to, owned_fd fd, job j) {
  take_processor(j, 0);
  stage s(fd.get());
  produce<Message>(s, j, [&](const Message& m) { to.put(m); });
}

template <class Message>
void get_all(source<Message> from, owned_fd fd, job j) {
  take_processor(j, 1);
  stage s(fd.get());
  consume_numbers(s, [&] { return number_of(from.get()); });
}

template <class Message>
void lease_all(source<Message> from, owned_fd fd, job j) {
  take_processor(j, 1);
  stage s(fd.get());
  consume_numbers(s, [&] {
    auto taken = from.take();
    const auto number = number_of(*taken);
    taken.ack();
    return number;
  });
}

template <class Message>
figures traffic(const job& j, void (*taker)(source<Message>, owned_fd, job)) {
  const queue<Message> q{here(), {.max_items = j.depth}};
  stage s;
  std::vector<process> processes;
  for (int i = 0; i < j.producers; ++i) processes.emplace_back(here(), put_all<Message>, q, copy_of(s), j);
  for (int i = 0; i < j.consumers; ++i) processes.emplace_back(here(), taker, q, copy_of(s), j);
  return measure(s, j, static_cast<std::uint32_t>(processes.size()), [&] { join_all(processes); });
}

void echo_notes(source<note> there, sink<note> back, job j) {
  take_processor(j, 1);
  for (note n = there.get(); echo(n, j); n = there.get()) back.put(n);
}

}  // namespace

figures our_queue(const job& j) {
  if (j.bytes == 64) return traffic<block<64>>(j, get_all<block<64>>);
  if (j.bytes == 1024) return traffic<block<1024>>(j, get_all<block<1024>>);
  return traffic<bytes>(j, get_all<bytes>);
}

figures our_leases(const job& j) {
  if (j.bytes == 64) return traffic<block<64>>(j, lease_all<block<64>>);
  if (j.bytes == 1024) return traffic<block<1024>>(j, lease_all<block<1024>>);
  return traffic<bytes>(j, lease_all<bytes>);
}

figures our_queue_round_trip(const job& j) {
  const queue<note> there{here()};
  const queue<note> back{here()};
  const process echoing{here(), echo_notes, there, back, j};
  take_processor(j, 0);
  pinger p(j);
  note n = p.first();
  do {
    there.put(n);
    n = back.get();
  } while (p.next(n));
  there.put(n);
  return p.result();
}

figures our_queue_memory(const job& j) {
  std::vector<queue<note>> queues;
  return memory_of_each(j, [&] {
    queues.emplace_back(here()).put({});
    queues.back().get();
  });
}

}  // namespace bench

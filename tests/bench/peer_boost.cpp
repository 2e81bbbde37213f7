// SPDX-License-Identifier: BSD-3-Clause
// Boost.Interprocess as a contestant: message_queue, a queue of fixed size in named shared memory.
//
// Its number and size of messages are fixed when it is made: it gets the contest's depth and exactly the size of a
// message. It is unlinked as soon as it exists; forked processes share the mapping. N producers and consumers share one.
// A round trip uses two queues.
#include <sys/stat.h>
#include <unistd.h>

#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/version.hpp>
#include <string>

#include "contest.hpp"
#include "round_trip.hpp"
#include "stage.hpp"
#include "traffic.hpp"

namespace {

namespace ipc = boost::interprocess;
using bench::figures;
using bench::job;
using bench::note;

class unlinked_queue {
 public:
  unlinked_queue(std::size_t depth, std::size_t bytes, const char* tag = "")
      : name_("bench-" + std::to_string(::getpid()) + tag), queue_(ipc::create_only, name_.c_str(), depth, bytes) {
    ipc::message_queue::remove(name_.c_str());
  }
  ipc::message_queue* operator->() noexcept { return &queue_; }

 private:
  std::string name_;
  ipc::message_queue queue_;
};

figures queue(const job& j) {
  unlinked_queue q(j.depth, j.bytes);
  bench::stage s;
  bench::crew members;
  for (int i = 0; i < j.producers; ++i)
    members.add(j, 0, [&] { bench::produce(s, j, [&](std::span<const std::byte> m) { q->send(m.data(), m.size(), 0); }); });
  for (int i = 0; i < j.consumers; ++i) {
    members.add(j, 1, [&] {
      bench::consume(s, j, [&](std::span<std::byte> m) {
        ipc::message_queue::size_type size = 0;
        unsigned priority = 0;
        q->receive(m.data(), m.size(), size, priority);
      });
    });
  }
  return bench::measure(s, members, j);
}

figures round_trip(const job& j) {
  unlinked_queue there(16, sizeof(note), "-there");
  unlinked_queue back(16, sizeof(note), "-back");
  const auto poll = j.manner == "awake";
  const auto receive = [poll](unlinked_queue& from, note& n) {
    ipc::message_queue::size_type size = 0;
    unsigned priority = 0;
    if (!poll) return from->receive(&n, sizeof(n), size, priority);
    while (!from->try_receive(&n, sizeof(n), size, priority)) {}
  };
  bench::crew members;
  members.add(j, 1, [&] {
    note n;
    for (receive(there, n); bench::echo(n, j); receive(there, n)) back->send(&n, sizeof(n), 0);
  });
  bench::take_processor(j, 0);
  bench::pinger p(j);
  note n = p.first();
  do {
    there->send(&n, sizeof(n), 0);
    receive(back, n);
  } while (p.next(n));
  there->send(&n, sizeof(n), 0);
  members.join();
  return p.result();
}

/// There is no default size; this is what a queue of the contest's depth and size occupies when it is made.
figures memory(const job& j) {
  const auto name = "bench-" + std::to_string(::getpid());
  const ipc::message_queue q(ipc::create_only, name.c_str(), j.depth, j.bytes);
  struct stat file {};
  const auto found = ::stat(("/dev/shm/" + name).c_str(), &file);
  ipc::message_queue::remove(name.c_str());
  if (found != 0) throw bench::not_applicable("its shared memory is not in /dev/shm");
  return {{"each", static_cast<double>(file.st_blocks) / 2}};
}

std::string version() {
  return "Boost " + std::to_string(BOOST_VERSION / 100000) + '.' + std::to_string(BOOST_VERSION / 100 % 1000) + '.' +
         std::to_string(BOOST_VERSION % 100);
}

}  // namespace

int main(int argc, char** argv) {
  static const bench::contestant table[] = {
      {"queue", "message_queue", queue},
      {"round-trip", "message_queue", round_trip},
      {"memory", "message_queue", memory},
  };
  return bench::contestant_main(argc, argv, version(), table);
}

// SPDX-License-Identifier: BSD-3-Clause
// The round trip contest: one process sends a 64 byte note, the other sends it back.
//
//   pinger p(j);  note n = p.first();                       // here
//   do { send(n); receive(n); } while (p.next(n));  send(n);  return p.result();
//   do { receive(n); } while (echo(n, j) && (send(n), true));   // there
//
// Three manners. `ping-pong`: nothing between two rounds, each contestant waits as it does by itself. `awake`: the same,
// for contestants that poll without ever sleeping. `asleep`: each side works for a while before it sends, so that the
// other has gone to sleep by then; the trip is the sum of both ways, from just before a send until just after the receive.
// One thread in each process.
#pragma once

#include <cstdint>
#include <vector>

#include "contest.hpp"

namespace bench {

struct note {
  std::uint64_t number = 0;  // 0: the end
  std::int64_t sent = 0;     // when it was sent, in nanoseconds
  std::int64_t way = 0;      // asleep: how long the way there took
  std::uint64_t fill[5] = {};
};
static_assert(sizeof(note) == 64);

class pinger {
 public:
  explicit pinger(const job& j);
  note first();
  /// Takes the answer, prepares the next note; false if that is the last one, to be sent but not answered.
  bool next(note& n);
  /// "median" and, where single rounds are timed, "p99"; microseconds.
  figures result() const;

 private:
  const bool asleep_;
  const std::uint64_t batch_;  // rounds timed together
  const std::int64_t pause_;
  const std::int64_t length_;
  std::int64_t begun_ = 0;
  std::int64_t batch_begun_ = 0;
  std::vector<double> samples_;  // microseconds a round
};

/// What the other side does with a note before it sends it back; false at the end.
bool echo(note& n, const job& j);

}  // namespace bench

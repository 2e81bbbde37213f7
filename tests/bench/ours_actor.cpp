// SPDX-License-Identifier: BSD-3-Clause
// Actors as contestants: an ask and its reply as a round trip, tells as traffic into one actor.
#include <cloister/actor.hpp>

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

using block = std::array<std::byte, 64>;

struct echoer {
  job j;
  explicit echoer(const job& its) : j(its) { take_processor(j, 1); }
  note on(note n) const {
    echo(n, j);
    return n;
  }
};

struct finish {};
/// Adds up what it is told.
struct counter {
  std::uint64_t messages = 0, sum = 0;
  explicit counter(const job& j) { take_processor(j, 1); }
  void on(const block& m) {
    ++messages;
    sum += number_of(m);
  }
  std::pair<std::uint64_t, std::uint64_t> on(finish) const { return {messages, sum}; }
};

void tell_all(actor<counter> to, owned_fd fd, job j) {
  take_processor(j, 0);
  stage s(fd.get());
  produce_until_stop<block>(s, j, [&](const block& m) { to.tell(m); });
}

}  // namespace

figures our_ask(const job& j) {
  const actor<echoer> a{here(), j};
  take_processor(j, 0);
  pinger p(j);
  note n = p.first();
  do { n = a.ask(n); } while (p.next(n));
  return p.result();
}

figures our_tell(const job& j) {
  const actor<counter> a{here(), actor_options{.max_messages = j.depth}, j};
  stage s;
  std::vector<process> tellers;
  for (int i = 0; i < j.producers; ++i) tellers.emplace_back(here(), tell_all, a, copy_of(s), j);
  return measure(s, j, static_cast<std::uint32_t>(tellers.size()), [&] {
    join_all(tellers);
    const auto [messages, sum] = a.ask(finish{});
    s.add_received(messages, sum, now_ns());
  });
}

}  // namespace bench

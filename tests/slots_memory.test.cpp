// SPDX-License-Identifier: BSD-3-Clause
// A process without memory of its own can still end what it holds: destructors do.
#include "slots_support.hpp"

using namespace slots_test;

namespace {

bool refusing = false;
bool refuses(std::size_t) { return refusing; }

struct no_memory {
  no_memory() { refusing = true; }
  ~no_memory() { refusing = false; }
};

lease_token large_lease(slots& q) {
  put(q, 1, 100'000);
  return q.take(2, deadline::passed())->lease().value();
}

}  // namespace

#include "refusing_memory.hpp"

TEST_CASE("slots: a lease of a large message is acknowledged without memory") {
  auto q = make();
  const auto l = large_lease(*q);
  bool done = false;
  {
    const no_memory none;
    done = q->ack(2, l).has_value();
  }
  REQUIRE(done);
  REQUIRE(leaks(*q) == "");
}

TEST_CASE("slots: a lease of a large message is given back without memory, to the next or to nobody") {
  auto q = make();
  const auto l = large_lease(*q);
  const bool closed = GENERATE(false, true);
  if (closed) q->close(1, close_mode::now);
  bool done = false;
  {
    const no_memory none;
    done = q->give_back(2, l).has_value();
  }
  REQUIRE(done);
  REQUIRE(q->unfinished() != closed);
  if (!closed) REQUIRE(get(*q) == 1);
  REQUIRE(leaks(*q) == "");
}

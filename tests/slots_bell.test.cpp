// SPDX-License-Identifier: BSD-3-Clause
// Who polls a queue's bell is told, although it announces no sleep (tests/models/bell.cpp).
#include "slots_support.hpp"

using namespace slots_test;

namespace {

struct counted_bell {
  int rings = 0;
  bool has_descriptor = true;
  static void ring(void* self) noexcept {
    auto& bell = *static_cast<counted_bell*>(self);
    if (bell.has_descriptor) ++bell.rings;
  }
};

}  // namespace

TEST_CASE("slots: the end of the last lease after a close rings the bell of who polls") {
  auto q = make();
  counted_bell bell;
  q->set_ringers({&counted_bell::ring, &bell}, {});
  put(*q, 1);
  const auto lease = q->take(2, deadline::passed())->lease().value();
  q->close(1, close_mode::drain);
  q->ready_event().arm_bell();
  REQUIRE(q->unfinished());
  const int before = bell.rings;
  REQUIRE(q->ack(2, lease).has_value());
  REQUIRE_FALSE(q->unfinished());
  REQUIRE(bell.rings > before);
}

TEST_CASE("slots: the look rings for who polls when the process that put could not") {
  auto q = make();
  counted_bell bell;
  q->set_ringers({&counted_bell::ring, &bell}, {});
  q->ready_event().arm_bell();
  bell.has_descriptor = false;
  put(*q, 1);
  REQUIRE(bell.rings == 0);
  bell.has_descriptor = true;
  q->look();
  REQUIRE(bell.rings == 1);
}

// SPDX-License-Identifier: BSD-3-Clause
// The clocks of the round trip contest; see round_trip.hpp.
#include "round_trip.hpp"

namespace bench {
pinger::pinger(const job& j)
    : asleep_(j.manner == "asleep"),
      batch_(j.manner == "awake" ? 64 : 1),
      pause_(static_cast<std::int64_t>(j.pause_us * 1e3)),
      length_(to_ns(j.seconds)) {
  samples_.reserve(1 << 20);
}

note pinger::first() {
  if (asleep_) work_for(pause_);
  begun_ = batch_begun_ = now_ns();
  return {.number = 1, .sent = begun_};
}

bool pinger::next(note& n) {
  ++n.number;
  if (!asleep_ && n.number % batch_ != 0) return true;
  const auto now = now_ns();
  const auto ns = asleep_ ? n.way + (now - n.sent) : now - batch_begun_;
  if (n.number > 1 + batch_) samples_.push_back(static_cast<double>(ns) / 1e3 / static_cast<double>(batch_));  // the first warms up
  if (now - begun_ > length_ && samples_.size() >= 20) {
    n.number = 0;
    return false;
  }
  if (asleep_) work_for(pause_);
  n.sent = batch_begun_ = now_ns();
  return true;
}

figures pinger::result() const {
  figures out{{"median", quantile(samples_, 0.5)}};
  if (batch_ == 1) out.push_back({"p99", quantile(samples_, 0.99)});
  return out;
}

bool echo(note& n, const job& j) {
  if (n.number == 0) return false;
  if (j.manner != "asleep") return true;
  n.way = now_ns() - n.sent;
  work_for(static_cast<std::int64_t>(j.pause_us * 1e3));
  n.sent = now_ns();
  return true;
}

}  // namespace bench

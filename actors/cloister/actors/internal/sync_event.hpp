// SPDX-License-Identifier: BSD-3-Clause
// What the supervisor actor does for one event: it wakes whom a setter was to wake that was killed before it did; at the latest when it looks
// next, if that one was stopped.
#pragma once

#include <cloister/actors/internal/sync_actor.hpp>

namespace cloister::internal {

class sync_event final : public sync_object {
 public:
  explicit sync_event(small_object where) : sync_object(std::move(where)) {}

  void asked(service::call&) override {}
  void dropped(const service_user&) override {}
  void died(const service_user&, const exit_status&, bool) override { it().sleepers.notify_waiting(); }
  std::int64_t look() override { return never_again; }
  /// Every 250 ms: it is set, or was since the last look, and somebody still sleeps.
  void look_for_sleepers() {
    const event_word w{it().word.load(std::memory_order_seq_cst)};
    if (w.is_set() || w.generation() != seen_.generation()) it().sleepers.notify_waiting();
    seen_ = w;
  }

 private:
  event_body& it() const noexcept { return body<event_body>(); }
  event_word seen_;
};

}  // namespace cloister::internal

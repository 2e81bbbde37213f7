// SPDX-License-Identifier: BSD-3-Clause
// What the supervisor actor knows of one condition: who waits, and to whom a notification is on its way.
#pragma once

#include <cloister/actors/internal/sync_actor.hpp>

#include <vector>

namespace cloister::internal {

class sync_condition final : public sync_object {
 public:
  explicit sync_condition(small_object where) : sync_object(std::move(where)) {}

  void asked(service::call& what) override;
  void dropped(const service_user& who) override;
  void died(const service_user& who, const exit_status& exit, bool inherited) override;
  std::int64_t look() override { return never_again; }

 private:
  void show() const noexcept { body<condition_body>().waiting.store(static_cast<std::uint32_t>(queue_.size())); }
  struct granted {
    sync_waiter who;
    std::uint64_t upto = 0;  // the last wait that its notification may be passed on to
  };
  void notify(std::uint64_t waiters, std::uint64_t upto);

  std::deque<sync_waiter> queue_;  // a: which wait it is, of all that ever were
  std::uint64_t last_ = 0;
  std::vector<granted> granted_;  // whose cells were still GRANTED when they were last looked at
};

}  // namespace cloister::internal

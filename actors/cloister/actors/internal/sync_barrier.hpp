// SPDX-License-Identifier: BSD-3-Clause
// What the supervisor actor knows of one barrier: who has arrived in this round, who took part in the last one, and who broke it.
#pragma once

#include <cloister/actors/internal/sync_actor.hpp>
#include <cloister/internal/control.hpp>

#include <optional>
#include <set>
#include <vector>

namespace cloister::internal {

class sync_barrier final : public sync_object {
 public:
  explicit sync_barrier(small_object where)
      : sync_object(std::move(where)),
        parties_(head().options & ~barrier_has_action),
        has_action_((head().options & barrier_has_action) != 0) {}

  void asked(service::call& what) override;
  void dropped(const service_user& who) override { left(who, {}, "let go of it"); }
  void died(const service_user& who, const exit_status& exit) override;
  std::int64_t look() override { return never_again; }

 private:
  void arrive(sync_waiter w);
  void begin_release();
  void release();
  void refuse_all();
  void break_it(last_trouble why);
  void left(const service_user& who, const exit_status& exit, const char* how);
  void show() const noexcept;
  bool has_arrived(std::uint32_t incarnation) const;

  // constant after construction; the head itself is the processes' memory
  const std::size_t parties_;
  const bool has_action_;

  std::deque<sync_waiter> arrived_;    // a: unused. The first `parties_` of them are this round
  std::optional<sync_waiter> acting_;  // one of those, which runs the action
  std::set<std::uint32_t> took_part_;  // in the last round that ended well: incarnations
  bool broken_ = false;
  std::uint32_t epoch_ = 0;
  last_trouble trouble_;
};

}  // namespace cloister::internal

// SPDX-License-Identifier: BSD-3-Clause
// What the supervisor actor knows of one barrier: who has arrived in this round, who took part in the last one, and who broke it.
#pragma once

#include <cloister/actors/barrier.hpp>
#include <cloister/actors/internal/sync_actor.hpp>
#include <cloister/internal/control.hpp>

#include <optional>
#include <set>
#include <vector>

namespace cloister::internal {

class sync_barrier final : public sync_object {
 public:
  sync_barrier(small_object where, sync_world& world)
      : sync_object(std::move(where)),
        world_(world),
        parties_(head().options & ~barrier_has_action),
        has_action_((head().options & barrier_has_action) != 0) {}

  void asked(service::call& what) override;
  void dropped(const service_user& who) override { left(who, {}, "let go of it"); }
  void died(const service_user& who, const exit_status& exit, bool inherited) override;
  std::int64_t look() override;
  /// What its head says can be.
  bool is_possible() const noexcept { return parties_ > 0 && parties_ <= barrier::most_parties; }

 private:
  void arrive(sync_waiter w);
  void begin_release();
  void release();
  void refuse_all();
  void break_it(last_trouble why);
  void left(const service_user& who, const exit_status& exit, const char* how);
  void show() const noexcept;
  bool has_arrived(std::uint32_t incarnation) const;

  sync_world& world_;
  // constant after construction; the head itself is the processes' memory
  const std::size_t parties_;
  const bool has_action_;

  std::deque<sync_waiter> arrived_;    // a: epoch and flags. The first `parties_` of them are this round
  std::optional<sync_waiter> acting_;  // one of those, which runs the action
  std::set<std::uint32_t> took_part_;  // in the last round that ended well: incarnations
  bool broken_ = false;
  std::uint32_t epoch_ = 0;
  last_trouble trouble_;
};

}  // namespace cloister::internal

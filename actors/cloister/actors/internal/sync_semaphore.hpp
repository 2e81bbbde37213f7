// SPDX-License-Identifier: BSD-3-Clause
// What the supervisor actor knows of one semaphore: who waits, and which processes have tokens without an entry of their own.
#pragma once

#include <cloister/actors/internal/sync_actor.hpp>
#include <cloister/actors/internal/token_table.hpp>
#include <cloister/actors/internal/turn_queue.hpp>

#include <unordered_map>

namespace cloister::internal {

class sync_semaphore final : public sync_object {
 public:
  sync_semaphore(small_object where, sync_world& world)
      : sync_object(std::move(where)), world_(world), table_(body<semaphore_body>()) {}

  void asked(service::call& what) override;
  void dropped(const service_user& who) override {
    forget_waits(who);
    forget_private(who.actor, true);
  }
  void died(const service_user& who, const exit_status& exit, bool inherited) override;
  std::int64_t look() override;

 private:
  void forget_waits(const service_user& who) {
    queue_.erase_if([&](const sync_waiter& w) { return w.is_of(who); }, world_.now);
  }
  void forget_private(std::uint16_t actor, bool tokens_stay);
  void give(unsigned entry);
  void serve();

  sync_world& world_;
  const token_table table_;
  turn_queue queue_;  // a: the entry that its process has, and flags
  // Of the tokens in entry 0, those of processes that found no entry free. The others were left behind.
  std::unordered_map<std::uint16_t, unsigned> without_entry_;
};

}  // namespace cloister::internal

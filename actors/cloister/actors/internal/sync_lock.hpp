// SPDX-License-Identifier: BSD-3-Clause
// What the supervisor actor knows of one mutex: who waits, whom it gave the lock last, who died with it.
#pragma once

#include <cloister/actors/internal/sync_actor.hpp>
#include <cloister/actors/internal/turn_queue.hpp>
#include <cloister/internal/control.hpp>

namespace cloister::internal {

class sync_lock final : public sync_object {
 public:
  sync_lock(small_object where, sync_world& world) : sync_object(std::move(where)), world_(world) {}
  ~sync_lock() override;

  void asked(service::call& what) override;
  void dropped(const service_user& who) override;
  void died(const service_user& who, const exit_status& exit, bool inherited) override;
  std::int64_t look() override;

 private:
  std::atomic<std::uint64_t>& word() const noexcept { return body<lock_body>().word; }
  void enqueue(sync_waiter w);
  void serve(std::uint16_t dead = 0);
  void forget(const sync_waiter& w);
  template <class Which>
  void forget_waits(Which which);
  void forget_grant(const service_user& who);
  void pop();
  bool breaks_a_circle(const sync_waiter& w);
  turn_queue::iterator find_waiter(std::uint32_t key) const;
  bool refuse_one(std::uint32_t key);
  bool may_be_refused(const sync_waiter& w) const;
  last_trouble trouble(std::uint32_t let_go_by) const;

  sync_world& world_;
  turn_queue queue_;  // a: thread | flags
  sync_waiter last_grant_;
  last_trouble trouble_;  // who died with it; and the text of the last circle
};

}  // namespace cloister::internal

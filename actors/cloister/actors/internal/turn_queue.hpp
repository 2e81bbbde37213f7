// SPDX-License-Identifier: BSD-3-Clause
// Who waits for a lock or a token, first come, first served; and since when the first of them has been that, for then it is its turn.
#pragma once

#include <cloister/actors/internal/sync_actor.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

namespace cloister::internal {

class turn_queue {
 public:
  using iterator = std::deque<sync_waiter>::const_iterator;

  bool empty() const noexcept { return all_.empty(); }
  std::size_t size() const noexcept { return all_.size(); }
  const sync_waiter& front() const noexcept { return all_.front(); }
  const sync_waiter& back() const noexcept { return all_.back(); }
  iterator begin() const noexcept { return all_.begin(); }
  iterator end() const noexcept { return all_.end(); }

  void push(sync_waiter w, std::int64_t now) {
    if (all_.empty()) first_since_ = now;
    all_.push_back(std::move(w));
  }
  void pop(std::int64_t now) {
    all_.pop_front();
    first_since_ = now;
  }
  void pop_back() { all_.pop_back(); }
  void clear() { all_.clear(); }
  /// All for which `which` is true, which is asked once of each.
  template <class Which>
  void erase_if(Which which, std::int64_t now) {
    bool is_first = true;
    std::erase_if(all_, [&](const sync_waiter& w) {
      const bool first = std::exchange(is_first, false);
      if (!which(w)) return false;
      if (first) first_since_ = now;
      return true;
    });
  }

  /// Nobody else may be faster than the first any more.
  bool has_turn(std::int64_t now) const noexcept { return !all_.empty() && now - first_since_ >= barging_ns; }
  /// When its turn comes; after that, in case somebody was stopped who freed what it waits for.
  std::int64_t next_look(std::int64_t now) const noexcept {
    if (all_.empty()) return never_again;
    return has_turn(now) ? now + sync_look_ns : first_since_ + barging_ns;
  }

 private:
  std::deque<sync_waiter> all_;
  std::int64_t first_since_ = 0;
};

}  // namespace cloister::internal

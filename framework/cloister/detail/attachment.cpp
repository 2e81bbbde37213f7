// SPDX-License-Identifier: BSD-3-Clause
// Telling the hub of first and last uses, and the bells: fetched from the hub when first needed, by waiters and by notifiers.
#include <cloister/detail/attachment.hpp>

#include <cloister/detail/handover.hpp>
#include <cloister/detail/membership.hpp>
#include <cloister/detail/ring.hpp>
#include <cloister/detail/slots.hpp>

#include <unistd.h>

namespace cloister::detail {

attachment::attachment(std::uint64_t id) : id_(id) {
  for (unsigned which = 0; which < bells_.size(); ++which) {
    bells_[which].owner = this;
    bells_[which].which = which;
  }
}

attachment::~attachment() {
  if (const auto last_word = at_end_.load(std::memory_order_relaxed)) last_word(*this);
  for (auto& bell : bells_) owned_fd(bell.fd.load()).reset();
  queue_.reset();
  pipe_.reset();
  if (auto* here = node_of_it()) here->end_use({id_, no_role});
}

// An object of another node may have the same number in this one.
membership* attachment::node_of_it() const noexcept { return gone() ? nullptr : membership::current(); }

void attachment::use(unsigned role) {
  if (role == no_role) return;
  const std::scoped_lock guard(mutex_);
  if (uses_.at(role)++ > 0) return;
  if (pipe_) pipe_->take_over(role - end_a);  // what this process knew of that end is old
  if (auto* here = node_of_it()) here->begin_use({id_, role});
}

void attachment::stop_use(unsigned role) noexcept {
  if (role == no_role) return;
  if (handover != nullptr && handover->collect(*this, role)) return;
  const std::scoped_lock guard(mutex_);
  if (uses_[role] == 0 || --uses_[role] > 0) return;  // 0: a fork's copy of a handle that its parent kept
  if (auto* here = node_of_it()) here->end_use({id_, role});
}

void attachment::adopt_uses(std::array<unsigned, 3> uses) noexcept {
  std::construct_at(&mutex_);  // a thread of the parent's, which is not here, may have had it locked
  uses_ = uses;
}

bell_ringer attachment::ringer(unsigned which) noexcept { return {&attachment::ring_bell, &bells_[which]}; }

int attachment::bell(unsigned which) {
  auto& line = bells_.at(which);
  if (const int known = line.fd.load(std::memory_order_acquire); known >= 0) return known;
  const std::scoped_lock guard(mutex_);
  if (const int known = line.fd.load(std::memory_order_acquire); known >= 0) return known;
  line.fd.store(membership::require().bell(id_, which).release(), std::memory_order_release);
  return line.fd.load();
}

void attachment::ring_bell(void* of) noexcept {
  auto& line = *static_cast<bell_line*>(of);
  try {
    const std::uint64_t one = 1;
    static_cast<void>(!::write(line.owner->bell(line.which), &one, sizeof one));
  } catch (...) {  // no descriptor for it here: the hub's look rings it within 250 ms
  }
}

}  // namespace cloister::detail

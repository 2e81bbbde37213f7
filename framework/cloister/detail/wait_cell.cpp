// SPDX-License-Identifier: BSD-3-Clause
// Cells: the futex beside the word is what a stop bumps, so that the word itself only ever changes by the protocol.
#include <cloister/detail/wait_cell.hpp>

#include <cstring>
#include <utility>

namespace cloister::detail {

bool wait_cell::answer(std::uint32_t ticket, cell_state from, cell_state to, std::uint64_t value_to_tell) noexcept {
  if (state(ticket) != from) return false;
  value.store(value_to_tell, std::memory_order_release);  // nobody reads it before the word changes
  if (!change(ticket, from, to)) return false;
  bell.fetch_add(1, std::memory_order_seq_cst);
  linux_platform::wake(bell, 1);
  return true;
}

result<std::shared_ptr<cell_block>> cell_block::create(std::uint64_t id) {
  auto made = memory::create("wait cells", bytes, bytes);
  if (!made) return made.error();
  const auto header = object_header::make(object_kind::cells, id, {}, made->size(), "cells");
  std::memcpy(made->data(), &header, sizeof header);
  return std::shared_ptr<cell_block>(new cell_block(*std::move(made)));
}

result<std::shared_ptr<cell_block>> cell_block::attach(memory from) {
  from.close_fd();
  auto header = object_header::read(from, object_kind::cells);
  if (!header) return header.error();
  if (header->size != bytes) return error{errc::broken, "wait cells attach: not of the size of a block"};
  return std::shared_ptr<cell_block>(new cell_block(std::move(from)));
}

std::optional<cell_pool::held> cell_pool::take_free() noexcept {
  const std::scoped_lock guard(mutex_);
  if (free_.empty()) return {};
  const auto h = free_.back();
  free_.pop_back();
  return h;
}

void cell_pool::add(std::shared_ptr<cell_block> block) {
  const auto number = static_cast<std::uint32_t>(blocks_.size());
  const std::scoped_lock guard(mutex_);
  free_.reserve((number + 1) * std::size_t{cell_block::cells});
  for (unsigned n = cell_block::cells; n-- > 0;) free_.push_back({&block->cell(n), number * cell_block::cells + n, 0});
  blocks_.push_back(std::move(block));
}

void cell_pool::give_back(const held& h) noexcept {
  const std::scoped_lock guard(mutex_);
  free_.push_back(h);
}

waiting::waiting(cell_pool& pool, cell_pool::held cell) noexcept : pool_(pool), held_(cell) {
  held_.ticket = (held_.ticket + 1) % wait_cell::most_tickets;
  held_.cell->word.store(wait_cell::make(held_.ticket, cell_state::waiting), std::memory_order_seq_cst);
}

waiting::~waiting() { pool_.give_back(held_); }

wait_status waiting::sleep(deadline until, cell_state also, bool heed_stop) {
  const auto decided = [&] {
    const auto s = state();
    return s != cell_state::waiting && s != also;
  };
  if (decided()) return wait_status::ready;
  auto& budget = this_threads_spin_budget();
  if (spin_until(decided, until, budget)) return wait_status::ready;
  const sleep_clock asleep(budget);
  auto& bell = held_.cell->bell;
  const sleep_registration me(bell);
  for (;;) {
    const auto seen = bell.load(std::memory_order_seq_cst);
    if (decided()) return wait_status::ready;
    if (heed_stop && stop_requested()) return wait_status::stopped;
    if (!linux_platform::sleep(bell, seen, until, me)) return decided() ? wait_status::ready : wait_status::timed_out;
  }
}

}  // namespace cloister::detail

// SPDX-License-Identifier: BSD-3-Clause
#include <cloister/actors/internal/pool_board.hpp>

#include <cloister/error.hpp>

namespace cloister::internal {

using detail::memory;

// ---- shared by all --------------------------------------------------------------------------------------------------------

worker_page worker_page::create(const std::string& worker) {
  worker_page page(memory::create("what worker '" + worker + "' shows", bytes, bytes).value());
  page->looks_at.store(no_time_limit, std::memory_order_relaxed);
  return page;
}

worker_page worker_page::attach(owned_fd fd) {
  worker_page page(memory::attach(std::move(fd), "worker").value());
  if (page.memory_.size() < bytes) throw failure(errc::wrong_type, "pool: a worker's page is too small");
  return page;
}

pool_board pool_board::create(const std::string& name) {
  return pool_board(memory::create("pool '" + name + "'", all_bytes, marks_at).value());
}

pool_board pool_board::attach(owned_fd fd) {
  pool_board board(memory::attach(std::move(fd), "pool").value());
  if (board.memory_.size() < all_bytes) throw failure(errc::wrong_type, "pool: its board is too small");
  return board;
}

bool pool_board::take_surplus() const noexcept {
  auto& surplus = head().surplus;
  auto n = surplus.load(std::memory_order_relaxed);
  while (n != 0)
    if (surplus.compare_exchange_weak(n, n - 1, std::memory_order_seq_cst)) return true;
  return false;
}

namespace {
// Tickets count up, so those of a lane all differ in it.
std::uint64_t mark_of(std::uint64_t lane, std::uint64_t ticket) noexcept {
  const auto mark = lane * 0x9e3779b97f4a7c15u ^ ticket;
  return mark != 0 ? mark : 1;
}
std::size_t place_of(std::uint64_t mark) noexcept { return static_cast<std::size_t>(mark * 0xbf58476d1ce4e5b9u >> 40); }
}  // namespace

bool pool_board::cancel(std::uint64_t lane, std::uint64_t ticket) noexcept {
  if (!has_marks_ && !memory_.try_reserve(marks_at, cancel_marks * sizeof(std::uint64_t))) return false;
  has_marks_ = true;
  if (is_cancelled(lane, ticket)) return true;
  const auto its = mark_of(lane, ticket);
  for (std::size_t i = 0; i < places; ++i) {
    std::uint64_t free = 0;
    if (!mark(place_of(its) + i).compare_exchange_strong(free, its, std::memory_order_relaxed)) continue;
    head().cancelled.fetch_add(1, std::memory_order_seq_cst);
    return true;
  }
  // Of those, most are of letters that were done before they were cancelled.
  mark(place_of(its) + next_overwritten_++ % places).store(its, std::memory_order_seq_cst);
  return true;
}

std::atomic<std::uint64_t>* pool_board::find_mark(std::uint64_t lane, std::uint64_t ticket) const noexcept {
  if (head().cancelled.load(std::memory_order_seq_cst) == 0) [[likely]]
    return nullptr;
  const auto its = mark_of(lane, ticket);
  for (std::size_t i = 0; i < places; ++i)
    if (auto& m = mark(place_of(its) + i); m.load(std::memory_order_relaxed) == its) return &m;
  return nullptr;
}

void pool_board::forget_cancelled(std::uint64_t lane, std::uint64_t ticket) const noexcept {
  auto* m = find_mark(lane, ticket);
  auto its = mark_of(lane, ticket);
  if (m != nullptr && m->compare_exchange_strong(its, 0, std::memory_order_relaxed))
    head().cancelled.fetch_sub(1, std::memory_order_seq_cst);
}

}  // namespace cloister::internal

// SPDX-License-Identifier: BSD-3-Clause
#include <cloister/actors/internal/pool_board.hpp>

#include <cloister/detail/body.hpp>
#include <cloister/error.hpp>

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>

namespace cloister::internal {

using detail::memory;

// ---- the board --------------------------------------------------------------------------------------------------------

void board_entry::reset() noexcept {
  ticket.store(0, std::memory_order_relaxed);
  lane.store(0, std::memory_order_relaxed);
  begun.store(0, std::memory_order_relaxed);
  flushed.store(0, std::memory_order_relaxed);
  written.store(0, std::memory_order_relaxed);
  kill_at.store(0, std::memory_order_relaxed);
  life.store(worker_life::starting, std::memory_order_relaxed);
  left.store(why_left::unknown, std::memory_order_release);
}

pool_board pool_board::create(const std::string& name) {
  pool_board board(memory::create("pool '" + name + "'", all_bytes, entries_at).value());
  board.head().looks_at.store(no_time_limit, std::memory_order_relaxed);
  return board;
}

pool_board pool_board::attach(owned_fd fd) {
  pool_board board(memory::attach(std::move(fd), "pool").value());
  if (board.memory_.size() < all_bytes) throw failure(errc::wrong_type, "pool: its board is too small");
  return board;
}

void pool_board::reserve(unsigned worker) {
  memory_.reserve(entries_at + std::size_t{worker} * board_entry::bytes, board_entry::bytes).value();
}

board_entry& pool_board::entry(unsigned worker) const noexcept {
  return *reinterpret_cast<board_entry*>(memory_.data() + entries_at + std::size_t{worker} * board_entry::bytes);
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

// ---- functions --------------------------------------------------------------------------------------------------------

struct function_table::entry {
  std::uint64_t offset;
  std::uint32_t id_length;  // 0: there is none; stored last
  char build_id[52];
};

function_table::function_table(owned_fd fd, bool writes) : fd_(std::move(fd)) {
  static_assert(sizeof(entry) == 64);
  auto* at = ::mmap(nullptr, most * sizeof(entry), writes ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd_.get(), 0);
  if (at == MAP_FAILED) throw failure(errc::no_memory, std::string("pool: its functions: ") + std::strerror(errno));
  entries_ = static_cast<entry*>(at);
}

function_table::function_table(function_table&& other) noexcept
    : fd_(std::move(other.fd_)), entries_(std::exchange(other.entries_, nullptr)) {}

function_table::~function_table() {
  if (entries_ != nullptr) ::munmap(entries_, most * sizeof(entry));
}

function_table function_table::create() {
  owned_fd fd(::memfd_create("cloister functions", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) throw failure(errc::no_descriptors, std::string("pool: its functions: ") + std::strerror(errno));
  constexpr auto size = static_cast<off_t>(most * sizeof(entry));
  if (::ftruncate(fd.get(), size) != 0 || ::posix_fallocate(fd.get(), 0, size) != 0)
    throw failure(errc::no_memory, "pool: no memory for its functions");
  function_table table(std::move(fd), true);
  // From here on nobody gets another mapping that can be written.
  if (::fcntl(table.fd(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE) != 0)
    throw failure(errc::no_memory, std::string("pool: its functions: ") + std::strerror(errno));
  return table;
}

function_table function_table::attach(owned_fd fd) { return {std::move(fd), false}; }

std::uint32_t function_table::add(const void* function) {
  const auto where = detail::locate_code(function);
  for (std::uint32_t i = 0; i < most; ++i) {
    auto& e = entries_[i];
    const auto length = std::atomic_ref(e.id_length).load(std::memory_order_acquire);
    if (length != 0) {
      if (e.offset == where.offset && std::string_view(e.build_id, length) == where.build_id) return i;
      continue;
    }
    if (where.build_id.size() > sizeof e.build_id) break;
    e.offset = where.offset;
    where.build_id.copy(e.build_id, sizeof e.build_id);
    std::atomic_ref(e.id_length).store(static_cast<std::uint32_t>(where.build_id.size()), std::memory_order_release);
    return i;
  }
  throw failure(errc::no_memory, "pool: no place for another plain function: it has " + std::to_string(most));
}

const void* function_table::find(std::uint32_t index) const {
  if (index < most) {
    auto& e = entries_[index];
    const auto length = *static_cast<volatile std::uint32_t*>(&e.id_length);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (length != 0 && length <= sizeof e.build_id) return detail::find_code({std::string(e.build_id, length), e.offset});
  }
  throw failure(errc::undecodable, "a task names a function that its pool does not have");
}

}  // namespace cloister::internal

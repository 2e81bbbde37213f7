// SPDX-License-Identifier: BSD-3-Clause
// Finding, filling and counting lease entries.
#include <cloister/detail/slots_leases.hpp>

#include <algorithm>
#include <cstring>

namespace cloister::detail {

std::uint32_t lease_table::size() const {
  const auto& g = layout_.geometry();
  return layout_.leases(std::min(1 + layout_.shared().lease_levels.load(std::memory_order_acquire), g.lease_levels));
}

std::optional<std::uint32_t> lease_table::begin(actor_id me, std::uint64_t position) {
  const auto filling = lease_word::make(lease_state::filling, 0, me, position).raw;
  for (;;) {
    const std::uint32_t n = size();
    const std::uint32_t from = std::min(hint_.load(std::memory_order_relaxed), n - 1);
    for (std::uint32_t i = 0; i < n; ++i) {
      const std::uint32_t index = from + i < n ? from + i : from + i - n;
      std::uint64_t expected = 0;
      auto& word = at(index).word;
      if (word.load(std::memory_order_relaxed) != 0 || !word.compare_exchange_strong(expected, filling, std::memory_order_seq_cst))
        continue;
      hint_.store(index + 1, std::memory_order_relaxed);
      fault_point("lease", 1);
      return index;
    }
    if (!grow(n)) return std::nullopt;
  }
}

bool lease_table::grow(std::uint32_t seen_size) {
  const auto& g = layout_.geometry();
  auto& levels = layout_.shared().lease_levels;
  std::uint32_t seen = levels.load(std::memory_order_acquire);
  if (layout_.leases(std::min(1 + seen, g.lease_levels)) != seen_size) return true;  // somebody else has
  const std::uint32_t next = seen + 1;
  if (next >= g.lease_levels || !layout_.mapping().try_reserve(g.level_at(next), g.level_bytes(next))) return false;
  fault_point("lease_grow", 1);
  levels.compare_exchange_strong(seen, next, std::memory_order_seq_cst);
  fault_point("lease_grow", 2);
  hint_.store(seen_size, std::memory_order_relaxed);
  return true;
}

void lease_table::fill(std::uint32_t index, std::uint64_t position, std::uint32_t length, std::span<const std::byte> bytes) {
  auto& e = at(index);
  e.position.store(position, std::memory_order_relaxed);
  e.length.store(length, std::memory_order_relaxed);
  e.check.store(length_check(length, position), std::memory_order_relaxed);
  fault_point("lease", 2);
  std::memcpy(e.bytes(), bytes.data(), std::min<std::size_t>(bytes.size(), layout_.geometry().room));
  fault_point("lease", 3);
}

std::optional<std::uint32_t> lease_table::oldest(lease_state s) const {
  std::optional<std::uint32_t> best;
  std::uint64_t best_position = 0;
  for (std::uint32_t i = 0, n = size(); i < n; ++i) {
    if (word(i).state() != s) continue;
    const auto position = at(i).position.load(std::memory_order_relaxed);
    if (best && static_cast<std::int64_t>(position - best_position) >= 0) continue;
    best = i;
    best_position = position;
  }
  return best;
}

bool lease_table::names(std::uint64_t position) const {
  for (std::uint32_t i = 0, n = size(); i < n; ++i) {
    const auto state = word(i).state();
    if (state != lease_state::free && state != lease_state::filling && at(i).position.load(std::memory_order_relaxed) == position)
      return true;
  }
  return false;
}

bool lease_table::unfinished(actor_id except) const {
  for (std::uint32_t i = 0, n = size(); i < n; ++i) {
    const auto w = word(i);
    if (w.state() == lease_state::filling || w.state() == lease_state::returned) return true;
    if (w.state() == lease_state::held && (w.owner() != except || except == no_actor)) return true;
  }
  return false;
}

}  // namespace cloister::detail

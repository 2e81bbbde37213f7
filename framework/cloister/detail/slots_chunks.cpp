// SPDX-License-Identifier: BSD-3-Clause
// Taking, binding and freeing chunks.
#include <cloister/detail/slots_chunks.hpp>

#include <algorithm>
#include <cstring>

namespace cloister::detail {
namespace {

void append(chunk_runs& runs, std::uint32_t index) {
  if (!runs.empty() && runs.back().first + runs.back().count == index) ++runs.back().count;
  else runs.push_back({index, 1});
}

// So that append() need not allocate.
void make_room(chunk_runs& runs) {
  if (runs.size() == runs.capacity()) runs.reserve(std::max<std::size_t>(4, 2 * runs.size()));
}

}  // namespace

std::uint32_t chunk_pool::top() const {
  return std::min(layout_.shared().chunk_top.load(std::memory_order_acquire), layout_.geometry().chunks);
}

bool chunk_pool::could_fit(std::uint32_t count) const {
  const std::uint32_t limit = top();
  std::uint64_t room = layout_.geometry().chunks - limit;
  for (std::uint32_t i = 0; i < limit && room < count; ++i) {
    const auto state = chunk_word{layout_.chunk(i).word.load(std::memory_order_relaxed)}.state();
    if (state == chunk_state::free || state == chunk_state::absent) ++room;
  }
  return room >= count;
}

chunk_pool::outcome chunk_pool::take(actor_id me, std::uint32_t count, chunk_runs& into, bool& touched) {
  touched = false;
  into.clear();
  const auto& geometry = layout_.geometry();
  if (top() + std::uint64_t{count} > geometry.chunks && !could_fit(count)) return outcome::full;
  auto& hint = layout_.shared().chunk_low;
  const std::uint32_t low = std::min(hint.load(std::memory_order_relaxed), top());
  std::uint32_t missing = count;
  auto status = outcome::taken;
  try {
    missing = take_free(me, low, top(), missing, into);
    if (missing > 0) missing = take_free(me, 0, low, missing, into);
    // Consumers that keep up free chunks within the time of a copy; then the memory stays little and in cache.
    if (missing > 0 && top() >= 8 * count && spin_budget::cpus() > 1) missing = take_freed(me, missing, into);
    bool no_memory = false;
    if (missing > 0) missing = take_absent(me, missing, into, no_memory);
    while (missing > 0 && status == outcome::taken) {
      const std::uint32_t before = top();
      status = no_memory ? outcome::no_memory : grow(missing);
      if (status == outcome::taken) missing = take_free(me, before, top(), missing, into);
    }
    if (status == outcome::taken) {
      link(into);
      hint.store(into.back().first + into.back().count, std::memory_order_relaxed);
      fault_point("chunk", 2);
      return status;
    }
  } catch (...) {  // no private memory for the list
    give_back(into);
    throw;
  }
  touched = !into.empty();
  give_back(into);
  into.clear();
  return status;
}

std::uint32_t chunk_pool::take_free(actor_id me, std::uint32_t from, std::uint32_t to, std::uint32_t missing, chunk_runs& into) {
  const auto mine = chunk_word::make(chunk_state::owned, me).raw;
  for (std::uint32_t i = from; i < to && missing > 0; ++i) {
    auto& word = layout_.chunk(i).word;
    std::uint64_t expected = 0;
    if (word.load(std::memory_order_relaxed) != 0) continue;
    make_room(into);  // before owning it
    if (!word.compare_exchange_strong(expected, mine, std::memory_order_seq_cst)) continue;
    append(into, i);
    --missing;
    fault_point("chunk", 1);
  }
  return missing;
}

std::uint32_t chunk_pool::take_freed(actor_id me, std::uint32_t missing, chunk_runs& into) {
  auto& hint = layout_.shared().chunk_low;
  const auto until = deadline::now() + std::int64_t{missing} * 500;  // ns
  hint.store(top(), std::memory_order_relaxed);
  while (missing > 0 && deadline::now() < until) {
    for (int i = 0; i < 16; ++i) cpu_relax();
    const std::uint32_t low = hint.load(std::memory_order_relaxed);
    if (low < top()) missing = take_free(me, low, top(), missing, into);
    if (missing > 0 && low < top()) hint.store(top(), std::memory_order_relaxed);
  }
  return missing;
}

std::uint32_t chunk_pool::take_absent(actor_id me, std::uint32_t missing, chunk_runs& into, bool& no_memory) {
  const auto coming = chunk_word::make(chunk_state::reserving, me).raw;
  const auto absent = chunk_word::make(chunk_state::absent, 0).raw;
  const std::uint32_t limit = top();
  for (std::uint32_t first = 0; first < limit && missing > 0 && !no_memory; ++first) {
    make_room(into);
    std::uint32_t count = 0;
    for (; first + count < limit && count < missing; ++count) {
      std::uint64_t expected = absent;
      auto& word = layout_.chunk(first + count).word;
      if (word.load(std::memory_order_relaxed) != absent || !word.compare_exchange_strong(expected, coming)) break;
    }
    if (count == 0) continue;
    fault_point("chunk_grow", 1);
    no_memory = !layout_.mapping().try_reserve(layout_.geometry().chunks_at + std::size_t{first} * slots_geometry::chunk_bytes,
                                           std::size_t{count} * slots_geometry::chunk_bytes);
    for (std::uint32_t k = first; k < first + count; ++k) {
      layout_.chunk(k).word.store(no_memory ? absent : chunk_word::make(chunk_state::owned, me).raw);
      if (!no_memory) append(into, k);
    }
    if (no_memory) break;
    missing -= count;
    first += count - 1;
  }
  return missing;
}

chunk_pool::outcome chunk_pool::grow(std::uint32_t missing) {
  const auto& geometry = layout_.geometry();
  std::uint32_t seen = top();
  if (missing > geometry.chunks - seen) return outcome::full;
  std::uint32_t step = std::min(geometry.chunks - seen, std::max({missing, 16U, seen / 4}));
  const auto reserve = [&](std::uint32_t count) {
    auto& m = layout_.mapping();
    return m.reserve(geometry.chunk_table_at + std::size_t{seen} * sizeof(chunk_entry), std::size_t{count} * sizeof(chunk_entry)) &&
           m.reserve(geometry.chunks_at + std::size_t{seen} * slots_geometry::chunk_bytes,
                     std::size_t{count} * slots_geometry::chunk_bytes);
  };
  if (!reserve(step)) {
    step = missing;
    if (!reserve(step)) return outcome::no_memory;
  }
  fault_point("chunk_grow", 2);
  layout_.shared().chunk_top.compare_exchange_strong(seen, seen + step, std::memory_order_seq_cst);  // else others have grown it
  fault_point("chunk_grow", 3);
  return outcome::taken;
}

void chunk_pool::link(std::span<const chunk_run> runs) {
  for (std::size_t r = 0; r < runs.size(); ++r) {
    const auto [first, count] = runs[r];
    for (std::uint32_t k = first; k + 1 < first + count; ++k) layout_.chunk(k).next.store(k + 1, std::memory_order_relaxed);
    layout_.chunk(first + count - 1).next.store(r + 1 < runs.size() ? runs[r + 1].first : 0, std::memory_order_relaxed);
  }
}

void chunk_pool::lower_hint(std::uint32_t index) {
  auto& hint = layout_.shared().chunk_low;
  if (index < hint.load(std::memory_order_relaxed)) hint.store(index, std::memory_order_relaxed);
}

void chunk_pool::give_back(std::span<const chunk_run> runs) {
  for (const auto& run : runs)
    for (std::uint32_t k = run.first; k < run.first + run.count; ++k) layout_.chunk(k).word.store(0, std::memory_order_release);
  if (!runs.empty()) lower_hint(runs.front().first);
}

void chunk_pool::bind(std::span<const chunk_run> runs, std::uint64_t position) {
  const auto bound = chunk_word::in(position).raw;
  for (const auto& run : runs)
    for (std::uint32_t k = run.first; k < run.first + run.count; ++k) {
      layout_.chunk(k).word.store(bound, std::memory_order_release);
      fault_point("chunk", 5);
    }
}

bool chunk_pool::collect(std::uint32_t first, std::uint32_t count, std::uint64_t position, chunk_runs& into) const {
  into.clear();
  const auto bound = chunk_word::in(position).raw;
  const std::uint32_t limit = top();
  std::uint32_t index = first;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (index >= limit || layout_.chunk(index).word.load(std::memory_order_acquire) != bound) return false;
    append(into, index);
    index = layout_.chunk(index).next.load(std::memory_order_relaxed);
  }
  return true;
}

void chunk_pool::release(std::span<const chunk_run> runs, std::uint64_t position) {
  const auto bound = chunk_word::in(position).raw;
  for (const auto& run : runs)
    for (std::uint32_t k = run.first; k < run.first + run.count; ++k) {
      std::uint64_t expected = bound;
      layout_.chunk(k).word.compare_exchange_strong(expected, 0, std::memory_order_seq_cst);
      fault_point("get", 7);
    }
  if (!runs.empty()) lower_hint(runs.front().first);
}

void chunk_pool::release(std::uint32_t first, std::uint32_t count, std::uint64_t position) {
  const auto bound = chunk_word::in(position).raw;
  const std::uint32_t limit = top();
  const auto free_it = [&](std::uint32_t k) {
    std::uint64_t expected = bound;
    return layout_.chunk(k).word.compare_exchange_strong(expected, 0, std::memory_order_seq_cst);
  };
  std::uint32_t index = first;
  for (std::uint32_t i = 0; i < count; ++i) {
    // Read before it is freed: from then on it is another message's.
    const std::uint32_t next = index < limit ? layout_.chunk(index).next.load(std::memory_order_relaxed) : 0;
    if (index >= limit || !free_it(index)) {  // a repair was faster with some, and who has them now links them anew
      for (std::uint32_t k = 0; k < limit; ++k) free_it(k);
      break;
    }
    fault_point("get", 7);
    index = next;
  }
  lower_hint(std::min(first, limit));
}

void chunk_pool::write(std::span<const chunk_run> runs, const gathered& message) const {
  gathered::reader bytes(message);
  std::size_t left = message.size();
  for (const auto& run : runs) {
    const auto n = std::min(left, std::size_t{run.count} * slots_geometry::chunk_bytes);
    bytes.copy(layout_.chunk_data(run.first), n / 2);
    fault_point("chunk", 3);
    bytes.copy(layout_.chunk_data(run.first) + n / 2, n - n / 2);
    left -= n;
  }
}

void chunk_pool::read(std::span<const chunk_run> runs, std::span<std::byte> into) const {
  std::size_t done = 0;
  for (const auto& run : runs) {
    const auto n = std::min(into.size() - done, std::size_t{run.count} * slots_geometry::chunk_bytes);
    std::memcpy(into.data() + done, layout_.chunk_data(run.first), n);
    done += n;
  }
}

}  // namespace cloister::detail

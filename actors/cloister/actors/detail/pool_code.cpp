// SPDX-License-Identifier: BSD-3-Clause
#include <cloister/actors/detail/pool_code.hpp>

#include <mutex>
#include <unordered_map>

namespace cloister::detail {

std::uint64_t named_code::number() const {
  if (const auto known = number_.load(std::memory_order_relaxed); known != 0) return known;
  const auto where = locate_code(code_);
  const auto n = (number_of_name(where.build_id) ^ where.offset * 0x9e3779b97f4a7c15u) | 1;
  number_.store(n, std::memory_order_relaxed);
  return n;
}

const named_code& named_code::find(std::uint64_t number) {
  static std::mutex mutex;
  static std::unordered_map<std::uint64_t, const named_code*> known;  // guarded by mutex
  static const named_code* up_to = nullptr;                           // guarded by mutex: it and those behind it are there
  const std::scoped_lock guard(mutex);
  for (const auto* e = first_; e != up_to; e = e->next_) known.emplace(e->number(), e);
  up_to = first_;
  const auto found = known.find(number);
  if (found == known.end()) throw failure(errc::undecodable, "a task names code that is in no process of this program");
  return *found->second;
}

}  // namespace cloister::detail

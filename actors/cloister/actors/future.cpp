// SPDX-License-Identifier: BSD-3-Clause
#include <cloister/actors/future.hpp>

#include <cloister/actors/detail/pool_link.hpp>

#include <algorithm>

namespace cloister {
namespace detail {

// Looks at all again and again, from where it was: of many futures, each is seen done once.
result<void> wait_for_all(std::span<job* const> jobs, deadline until) {
  std::size_t done = 0;
  const auto all_done = [&] {
    while (done < jobs.size() && jobs[done]->done()) ++done;
    return done == jobs.size();
  };
  if (all_done()) return {};
  return jobs[done]->home().wait(*jobs[done], all_done, until);
}

result<std::size_t> wait_for_one(std::span<job* const> jobs, deadline until) {
  if (jobs.empty()) return {errc::invalid, "when_any: of no future"};
  std::size_t which = 0;
  const auto one_done = [&] {
    which = static_cast<std::size_t>(std::find_if(jobs.begin(), jobs.end(), [](const job* j) { return j->done(); }) - jobs.begin());
    return which < jobs.size();
  };
  if (one_done()) return which;
  if (auto waited = jobs.front()->home().wait(*jobs.front(), one_done, until); !waited) return waited.error();
  return which;
}

void call_when_done(const std::shared_ptr<job>& of, std::function<void()> call) {
  auto& in = of->home();
  const auto pool = of->pool()->id();
  in.expect_call(pool);
  of->when_done([&in, pool, call = std::move(call)] { in.post(pool, call); });
}

}  // namespace detail

std::size_t as_completed::next() {
  const auto which = detail::wait_for_one(open_, until_).value();
  const auto index = indices_[which];
  open_[which] = open_.back();
  indices_[which] = indices_.back();
  open_.pop_back();
  indices_.pop_back();
  return index;
}

}  // namespace cloister

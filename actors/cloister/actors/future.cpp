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

void as_completed::add(detail::job& of) {
  if (first_ == nullptr) first_ = &of;
  const auto index = left_++;
  of.when_done([to = completed_, index] {
    const std::scoped_lock guard(to->mutex);
    to->indices.push_back(index);
  });
}

std::size_t as_completed::next() {
  const auto some = [&] {
    const std::scoped_lock guard(completed_->mutex);
    return !completed_->indices.empty();
  };
  if (!some()) first_->home().wait(*first_, some, until_).value();
  const std::scoped_lock guard(completed_->mutex);
  const auto index = completed_->indices.front();
  completed_->indices.pop_front();
  --left_;
  return index;
}

}  // namespace cloister

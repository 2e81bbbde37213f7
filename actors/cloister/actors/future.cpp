// SPDX-License-Identifier: BSD-3-Clause
#include <cloister/actors/future.hpp>

#include <cloister/actors/detail/pool_link.hpp>

#include <algorithm>

namespace cloister {
namespace detail {

namespace {
bool of_own_pool(const job& j) { return inbox::working_for() != 0 && j.pool()->id() == inbox::working_for(); }
}  // namespace

// Looks at all again and again, from where it was: of many futures, each is seen done once.
result<void> wait_for_all(std::span<job* const> jobs, deadline until) {
  std::size_t done = 0;
  const auto all_done = [&] {
    while (done < jobs.size() && jobs[done]->done()) ++done;
    return done == jobs.size();
  };
  if (all_done()) return {};
  for (const auto* j : jobs.subspan(done))
    if (!j->done() && of_own_pool(*j)) return inbox::own_worker_error("when_all");
  return jobs[done]->home().wait("when_all", all_done, until);
}

result<std::size_t> wait_for_one(std::span<job* const> jobs, deadline until) {
  if (jobs.empty()) return {errc::invalid, "when_any: of no future"};
  std::size_t which = 0;
  const auto one_done = [&] {
    which = static_cast<std::size_t>(std::find_if(jobs.begin(), jobs.end(), [](const job* j) { return j->done(); }) - jobs.begin());
    return which < jobs.size();
  };
  if (one_done()) return which;
  if (std::all_of(jobs.begin(), jobs.end(), [](const job* j) { return of_own_pool(*j); }))
    return inbox::own_worker_error("when_any");
  if (auto waited = jobs.front()->home().wait("when_any", one_done, until); !waited) return waited.error();
  return which;
}

void call_when_done(const std::shared_ptr<job>& of, std::function<void()> call) {
  auto& in = of->home();
  const auto pool = of->pool()->id();
  in.expect_call(pool);
  try {
    of->when_done([&in, pool, call = std::move(call)] { in.post(pool, call); });
  } catch (...) {
    in.expect_call_no_more(pool);
    throw;
  }
}

}  // namespace detail

void as_completed::add(std::shared_ptr<detail::job> of) {
  of->when_done([to = completed_, index = open_.size()] {
    const std::scoped_lock guard(to->mutex);
    to->indices.push_back(index);
  });
  open_.push_back(std::move(of));
  ++left_;
}

std::size_t as_completed::next() {
  const auto some = [&] {
    const std::scoped_lock guard(completed_->mutex);
    return !completed_->indices.empty();
  };
  if (!some()) {
    while (!open_[first_open_]) ++first_open_;
    const auto is_no_help = [](const auto& j) { return !j || detail::of_own_pool(*j); };
    if (is_no_help(open_[first_open_]) && std::all_of(open_.begin(), open_.end(), is_no_help))
      throw failure(detail::inbox::own_worker_error("as_completed"));
    open_[first_open_]->home().wait("as_completed", some, until_).value();
  }
  const std::scoped_lock guard(completed_->mutex);
  const auto index = completed_->indices.front();
  completed_->indices.pop_front();
  open_[index] = nullptr;
  --left_;
  return index;
}

}  // namespace cloister

// SPDX-License-Identifier: BSD-3-Clause
// Many children: counts that agree, and time in proportion to their number. OTP's cases of those names.
#include "supervision_world.hpp"

#include <ctime>

using namespace supervision_test;

namespace {

/// Processor time of this thread, which other programs do not lengthen.
std::chrono::nanoseconds thread_time() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

/// The shortest of three.
template <class Body>
std::chrono::nanoseconds time_of(Body body) {
  return std::min({body(), body(), body()});
}

supervisor_options simple() { return {.strategy = simple_one_for_one, .intensity = 2, .period = 1h}; }

/// Lists and counts agree and are stable with 1000 and 2000 dynamic children, and all are gone when they are killed.
void counts_children(const child_spec& kind) {
  const std::size_t n = 1000;
  const bool supervisors = kind.inner != nullptr;
  const auto counts = [&](std::size_t all) { return child_counts{1, all, supervisors ? all : 0, supervisors ? 0 : all}; };
  world w(simple(), {kind});
  w.begin();
  for (std::size_t i = 0; i < n; ++i) w.add();
  REQUIRE(w.list().size() == n);
  REQUIRE(w.count() == counts(n));
  for (std::size_t i = 0; i < n; ++i) w.add();
  const auto all = w.processes();
  REQUIRE(all.size() == 2 * n);
  REQUIRE(w.count() == counts(2 * n));
  REQUIRE(w.processes() == all);
  REQUIRE(w.count() == counts(2 * n));
  REQUIRE(std::set(all.begin(), all.end()).size() == all.size());
  for (const auto process : all) w.end(process, by_kill());
  REQUIRE(w.count() == child_counts{1, 0, 0, 0});
  REQUIRE(w.list().empty());
  REQUIRE_FALSE(w.over);
}

}  // namespace

TEST_CASE("count_children: the list and the counts of a thousand and two thousand dynamic workers agree") {
  counts_children(spec("any", temporary));
}

TEST_CASE("count_children_supervisor: the list and the counts of a thousand and two thousand dynamic supervisors agree") {
  counts_children(inner("any", {}, {}, temporary));
}

TEST_CASE(
    "simple_one_for_one_scale_many_temporary_children: ending forty times as many, one by one, takes about forty times as long") {
  const auto ending = [](int n) {
    world w(simple(), {spec("any", temporary)});
    w.begin();
    std::vector<std::uint32_t> all;
    for (int i = 0; i < n; ++i) all.push_back(w.add_one());
    const auto begun = thread_time();
    for (const auto process : all) static_cast<void>(w.call(terminate_child{process}));
    const auto took = thread_time() - begun;
    REQUIRE(w.list().empty());
    return took;
  };
  const auto few = time_of([&] { return ending(1'000); });
  REQUIRE(ending(40'000) < 600 * few);  // a square would be 1600
}

TEST_CASE(
    "scale_start_stop_many_children: starting and ending a hundred times as many children takes about a hundred times as long") {
  // OTP's bound is ten times as much, of a clock that other programs lengthen.
  const auto whole_life = [](int n) {
    std::vector<child_spec> all;
    for (int i = 0; i < n; ++i) all.push_back(spec(std::to_string(i)));
    world w({}, std::move(all));
    w.at_once = false;
    const auto begun = thread_time();
    w.begin();
    REQUIRE(w.count().active == static_cast<std::size_t>(n));
    static_cast<void>(w.call(stop_supervisor{}));
    REQUIRE(w.over);
    return thread_time() - begun;
  };
  const auto few = time_of([&] { return whole_life(1'000); });
  REQUIRE(whole_life(100'000) < 500 * few);
}

// SPDX-License-Identifier: BSD-3-Clause
// A test, written with Catch2, that a program survives: its workers are killed, one of them at its third message, and the test asks what was
// restarted, whether everything was answered, and what was left behind. Run with --out=/dev/null for the last line alone.
//
// Prints:
//   0 test cases failed
#define CATCH_CONFIG_RUNNER
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include <cloister/cloister.hpp>
#include <cloister/testing.hpp>
#include <iostream>
#include <set>

using namespace cloister;
using names = std::vector<std::string>;

const node* here = nullptr;

// What is tested: a worker that squares what it has on loan.
void square(source<int> in, sink<int> out) {
  for (auto& n : in.leases()) out.put(*n * *n);
}

TEST_CASE("every number is answered though a worker dies at its third") {
  const testing::time_limit limit("every number is answered", std::chrono::seconds(60));
  queue<int> numbers{*here}, squares{*here};
  const auto at_third = testing::at_message(3);
  supervisor s{*here};
  testing::recorder seen(s);
  s.start_child(at_third.in({.id = "worker"}), square, numbers, squares);
  for (int n = 1; n <= 10; ++n) numbers.put(n);
  std::set<int> answers;
  while (answers.size() < 10) answers.insert(squares.get());
  CHECK(*answers.rbegin() == 100);
  CHECK(seen.await_restarts("worker", 1));
  CHECK(seen.restarted() == names{"worker"});
}

TEST_CASE("a crew is restarted together, in order, and leaves nothing behind") {
  const testing::time_limit limit("a crew is restarted together", std::chrono::seconds(60));
  { supervisor warm{*here}; }  // what is made once
  const testing::leak_check leaks;
  {
    queue<int> numbers{*here}, squares{*here};
    supervisor s{*here,
                 {.strategy = one_for_all},
                 supervised({.id = "first"}, square, numbers, squares),
                 supervised({.id = "second"}, square, numbers, squares)};
    testing::recorder seen(s);
    testing::kill_child(s, 1);
    CHECK(seen.await_restarts("second", 1));
    CHECK(seen.restarted() == names{"first", "second"});
    CHECK(testing::whole(s));
  }
  CHECK(leaks.found() == "");
}

int main(int argc, char** argv) {
  node this_node{argc, argv};
  here = &this_node;
  log_to_stderr(log_level::off);  // the kills are expected
  const int failed = Catch::Session().run(argc, argv);
  std::cout << failed << " test cases failed\n";
  return failed;
}

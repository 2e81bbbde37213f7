// SPDX-License-Identifier: BSD-3-Clause
// Fault points: dying and stopping at an exact step. The points themselves are tested with the operations they stand in.
#include <cloister/fault.hpp>

#include "harness.hpp"

#include <csignal>

using namespace cloister;

namespace {

/// Passes every step of `operation` once.
void pass(const std::string& operation) {
  for (unsigned step = 1; step <= fault_steps(operation); ++step) detail::fault_point(operation, step);
}

/// The first operation of the table.
std::string any_operation() {
  REQUIRE_FALSE(fault_operations().empty());
  return std::string(fault_operations().front());
}

}  // namespace

TEST_CASE("every operation of the fault table has steps, and each step kills") {
  for (const auto name : fault_operations()) {
    const std::string operation(name);
    REQUIRE(fault_steps(operation) >= 1);
    for (unsigned step = 1; step <= fault_steps(operation); ++step) {
      const auto ended = harness::forked([&] {
        inject_fault({.operation = operation, .step = step});
        pass(operation);
      });
      REQUIRE(ended.signal() == SIGKILL);
    }
  }
}

TEST_CASE("a fault that stops leaves the process where it is until it is continued") {
  harness::child c([operation = any_operation()] {
    inject_fault({.operation = operation, .action = fault_action::stop});
    pass(operation);
    return 5;
  });
  REQUIRE(c.wait_stopped());
  c.signal(SIGCONT);
  REQUIRE(c.wait().code() == 5);
}

TEST_CASE("a fault lets its step pass as often as it was told") {
  const auto operation = any_operation();
  const auto passes = [&](int times) {
    return harness::forked([&] {
      inject_fault({.operation = operation, .skip = 3});
      for (int i = 0; i < times; ++i) pass(operation);
    });
  };
  REQUIRE(passes(3).success());
  REQUIRE(passes(4).signal() == SIGKILL);
}

TEST_CASE("several faults are armed at a time, and cleared together") {
  const auto operation = any_operation();
  REQUIRE(harness::forked([&] {
            inject_fault({.operation = operation, .skip = 1000});
            inject_fault({.operation = operation});
            pass(operation);
          }).signal() == SIGKILL);
  REQUIRE(harness::forked([&] {
            inject_fault({.operation = operation});
            clear_faults();
            pass(operation);
          }).success());
}

TEST_CASE("a fault at an unknown operation or step is refused") {
  const auto code_of = [](fault f) {
    try {
      inject_fault(std::move(f));
    } catch (const failure& e) { return e.code(); }
    return errc::closed;
  };
  REQUIRE(code_of({.operation = "no such operation"}) == errc::invalid);
  REQUIRE(code_of({.operation = any_operation(), .step = 0}) == errc::invalid);
  REQUIRE(code_of({.operation = any_operation(), .step = fault_steps(any_operation()) + 1}) == errc::invalid);
  REQUIRE(fault_steps("no such operation") == 0);
}

// SPDX-License-Identifier: BSD-3-Clause
// The main function of tests whose program is a node: started again by exec, it is the child that a test wanted.
#include "harness.hpp"

#include <cloister/node.hpp>

namespace harness {
const cloister::node* here = nullptr;
}  // namespace harness

int main(int argc, char** argv) {
  cloister::node here{argc, argv};
  harness::here = &here;
  return harness::run_tests(argc, argv);
}

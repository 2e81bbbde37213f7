// SPDX-License-Identifier: BSD-3-Clause
// The main function of tests that need no node.
#include "harness.hpp"

int main(int argc, char** argv) { return harness::run_tests(argc, argv); }

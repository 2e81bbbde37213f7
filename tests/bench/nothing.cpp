// SPDX-License-Identifier: BSD-3-Clause
// The smallest program to exec: it ends at once, or, given the descriptor of a stage, waits at its gate first.
#include <cstdlib>

#include "stage.hpp"

int main(int argc, char** argv) {
  if (argc > 1 && *argv[1] != '\0') bench::stage(std::atoi(argv[1])).wait_at_gate();
  return 0;
}

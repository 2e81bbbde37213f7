// SPDX-License-Identifier: BSD-3-Clause
// A program that is linked without a build id: it has no name for the code of its processes. Says so, and ends with 0 if it was refused.
#include <cloister/cloister.hpp>

#include <cstdio>

int main(int argc, char** argv) {
  cloister::node here{argc, argv};
  try {
    cloister::process p{here, [] {}};
  } catch (const cloister::failure& f) {
    std::puts(f.what());
    return f.code() == cloister::errc::invalid ? 0 : 1;
  }
  return 2;
}

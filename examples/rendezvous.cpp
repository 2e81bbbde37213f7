// SPDX-License-Identifier: BSD-3-Clause
// Three processes meet after each of two rounds; the barrier's action counts the rounds, once each, before anybody goes on.
//
// Prints:
//   round 1 is over
//   round 2 is over
#include <cloister/actors/actors.hpp>

#include <iostream>

using namespace cloister;

struct count_rounds {
  queue<int> so_far;
  void operator()() const {
    const int n = so_far.get() + 1;
    std::cout << "round " << n << " is over" << std::endl;
    so_far.put(n);
  }
};

void party(barrier meet) {
  meet.wait();
  meet.wait();
}

int main(int argc, char** argv) {
  node here{argc, argv};
  queue<int> rounds{here};
  rounds.put(0);
  barrier meet{here, 3, count_rounds{rounds}};
  process a{here, party, meet}, b{here, party, meet}, c{here, party, meet};
}

// SPDX-License-Identifier: BSD-3-Clause
// Two consumers wait for a condition, a producer notifies all. Nobody is missed, whoever comes first: what they wait for is looked at under
// the lock.
//
// Prints, in any order:
//   producer: it is there
//   consumer 1 goes on
//   consumer 2 goes on
#include <cloister/actors/actors.hpp>

#include <iostream>
#include <mutex>
#include <string>

using namespace cloister;

void consumer(condition changed, event there, int n) {
  const std::scoped_lock mine(changed);
  changed.wait_for([&] { return there.is_set(); });
  std::cout << "consumer " + std::to_string(n) + " goes on\n" << std::flush;
}
void producer(condition changed, event there) {
  const std::scoped_lock mine(changed);
  there.set();
  std::cout << "producer: it is there" << std::endl;
  changed.notify_all();
}

int main(int argc, char** argv) {
  node here{argc, argv};
  mutex m{here};
  condition changed{here, m};
  event there{here};
  process a{here, consumer, changed, there, 1}, b{here, consumer, changed, there, 2}, c{here, producer, changed, there};
}

// SPDX-License-Identifier: BSD-3-Clause
// A buffer of three places between a producer and a consumer, both ways: with two semaphores and a lock around memory that both have; and as
// what it is, a bounded queue. Only the second survives a producer that dies within `put`.
//
// Prints:
//   with locks: 1000 numbers, sum 499500
//   with a mailbox: 1000 numbers, sum 499500
#include <cloister/actors/actors.hpp>

#include <iostream>
#include <mutex>

using namespace cloister;

// begin locks
struct buffer {
  semaphore free, full;
  mutex m;
  queue<int> memory;  // stands for shared memory: the lock says who may touch it

  void put(int n) const {
    free.acquire();
    {
      const std::scoped_lock mine(m);
      memory.put(n);
    }
    full.release();
  }
  int get() const {
    full.acquire();
    const int n = [&] {
      const std::scoped_lock mine(m);
      return memory.get();
    }();
    free.release();
    return n;
  }
};
void produce_locked(buffer b) {
  for (int i = 0; i < 1000; ++i) b.put(i);
}
// end locks

// begin mailbox
void produce(sink<int> out) {
  for (int i = 0; i < 1000; ++i) out.put(i);
}
// end mailbox

int main(int argc, char** argv) {
  node here{argc, argv};
  {
    const buffer b{semaphore{here, 3}, semaphore{here, 0}, mutex{here}, queue<int>{here}};
    const process p{here, produce_locked, b};
    long sum = 0;
    for (int i = 0; i < 1000; ++i) sum += b.get();
    std::cout << "with locks: 1000 numbers, sum " << sum << std::endl;
  }
  const queue<int> b{here, {.max_items = 3}};
  const process p{here, produce, b};
  long sum = 0;
  for (int i = 0; i < 1000; ++i) sum += b.get();
  std::cout << "with a mailbox: 1000 numbers, sum " << sum << '\n';
}

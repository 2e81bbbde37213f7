// SPDX-License-Identifier: BSD-3-Clause
// What the tests of synchronisation share that look into, or write over, an object's words.
#pragma once

#include "process_support.hpp"

#include <cloister/actors/internal/sync_words.hpp>
#include <cloister/actors/internal/token_table.hpp>
#include <cloister/actors/mutex.hpp>
#include <cloister/actors/semaphore.hpp>

namespace support {

/// A handle whose shared memory a test may look at and write into.
template <class Handle>
struct open : Handle {
  using Handle::Handle;
  explicit open(const Handle& handle) : Handle(handle) {}
  template <class Body>
  Body& body() const {
    return this->object().template body<Body>();
  }
  cloister::detail::small_head& head() const { return const_cast<cloister::detail::small_head&>(this->object().small()); }
  Handle handle() const { return *this; }
};

/// The turn of the first in the queue has come: nobody else takes it when it is free.
inline bool has_turn(const open<cloister::mutex>& m) {
  using cloister::internal::lock_word;
  return lock_word{m.body<cloister::internal::lock_body>().word}.has(lock_word::handing);
}
inline bool has_turn(const open<cloister::semaphore>& s) {
  using cloister::internal::token_word;
  return token_word{s.body<cloister::internal::semaphore_body>().word}.has(token_word::handing);
}
template <class Handle>
void require_turn(const open<Handle>& of) {
  REQUIRE(harness::eventually([&] { return has_turn(of); }, 20s));
}

}  // namespace support

// SPDX-License-Identifier: BSD-3-Clause
// Replaces a test program's allocation: an allocation fails if `refuses(bytes)`, which the one source that includes this defines before, says so.
// The form that returns nullptr belongs to it: a sanitizer's own would not go with the replaced delete.
#pragma once

#include <cstdlib>
#include <new>

// Not inlined, or GCC takes the pair apart and finds half of it wrong.
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return refuses(bytes) ? nullptr : std::malloc(bytes);
}
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  if (void* const at = operator new(bytes, std::nothrow)) return at;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* at) noexcept { std::free(at); }
[[gnu::noinline]] void operator delete(void* at, std::size_t) noexcept { std::free(at); }

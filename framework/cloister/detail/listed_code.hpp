// SPDX-License-Identifier: BSD-3-Clause
// Code that a message to a running process may name. A place in the program's image alone (code_ref) would let whoever sends a message have
// any function called; so what is named so must also be on the list of functions that are made for it, which fills itself at load time.
//
//   template <class T> struct maker { static void make(decoder&); static inline const listed_code entry{&make}; };   // use &entry somewhere
//
// Threads: any, after the program's static objects were made.
#pragma once

#include <cloister/detail/body.hpp>
#include <cloister/error.hpp>

namespace cloister::detail {

class listed_code {
 public:
  template <class Function>
  explicit listed_code(Function* code) noexcept : code_(reinterpret_cast<const void*>(code)), next_(first_) {
    first_ = this;
  }
  listed_code(const listed_code&) = delete;
  listed_code& operator=(const listed_code&) = delete;

  code_ref where() const { return locate_code(code_); }
  /// Throws `failure`: not_started (of another program), undecodable (not on the list).
  template <class Function>
  static Function* find(const code_ref& where) {
    const auto* code = find_code(where);
    for (const auto* e = first_; e != nullptr; e = e->next_)
      if (e->code_ == code) return reinterpret_cast<Function*>(const_cast<void*>(code));
    throw failure(errc::undecodable, "a message names code that no message may name");
  }

 private:
  const void* const code_;
  const listed_code* const next_;
  static inline constinit const listed_code* first_ = nullptr;
};

}  // namespace cloister::detail

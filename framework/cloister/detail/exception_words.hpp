// SPDX-License-Identifier: BSD-3-Clause
// What an exception is called, and says: for those who are elsewhere. Any thread, inside a catch block.
#pragma once

#include <string>

namespace cloister::detail {

struct exception_words {
  std::string type, text;
  bool no_memory = false;  // that is what it says
};
/// REQUIRES: an exception is being handled.
exception_words words_of_current_exception();

}  // namespace cloister::detail

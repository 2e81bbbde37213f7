// SPDX-License-Identifier: BSD-3-Clause
// Type names as people write them, by the C++ ABI.
#include <cloister/detail/exception_words.hpp>

#include <cloister/error.hpp>

#include <cxxabi.h>

#include <cstdlib>
#include <exception>
#include <new>
#include <typeinfo>

namespace cloister::detail {

exception_words words_of_current_exception() {
  const auto named = [](const char* mangled) {
    int status = 0;
    char* text = abi::__cxa_demangle(mangled, nullptr, nullptr, &status);
    std::string name = status == 0 ? text : mangled;
    std::free(text);
    return name;
  };
  try {
    throw;
  } catch (const failure& f) {
    return {"cloister::failure", f.what(), f.code() == errc::no_memory};
  } catch (const std::exception& e) {
    return {named(typeid(e).name()), e.what(), dynamic_cast<const std::bad_alloc*>(&e) != nullptr};
  } catch (...) {
    const auto* type = abi::__cxa_current_exception_type();
    return {type != nullptr ? named(type->name()) : "unknown exception", ""};
  }
}

}  // namespace cloister::detail

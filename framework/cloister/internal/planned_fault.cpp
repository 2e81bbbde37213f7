// SPDX-License-Identifier: BSD-3-Clause
// Written "operation step action skip token".
#include <cloister/internal/planned_fault.hpp>

#include <sstream>

#include <unistd.h>

namespace cloister::internal {

std::string planned_fault_text(const fault& what, const std::string& token) {
  std::ostringstream out;
  out << what.operation << ' ' << what.step << ' ' << static_cast<int>(what.action) << ' ' << what.skip << ' ' << token;
  return out.str();
}

void arm_planned_fault(std::string_view text) {
  std::istringstream in{std::string(text)};
  fault what;
  int action = 0;
  in >> what.operation >> what.step >> action >> what.skip >> std::ws;
  std::string token;
  std::getline(in, token);
  if (::unlink(token.c_str()) != 0) return;
  what.action = static_cast<fault_action>(action);
  inject_fault(what);
}

}  // namespace cloister::internal

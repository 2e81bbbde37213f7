// SPDX-License-Identifier: BSD-3-Clause
// A fault that a test plans for a process that is yet to start: an entry of its start's environment, honoured there only, and only by the
// process that removes the file which stands for it.
#pragma once

#include <cloister/fault.hpp>

#include <string>
#include <string_view>

namespace cloister::internal {

inline constexpr const char* planned_fault_variable = "CLOISTER_PLANNED_FAULT";

std::string planned_fault_text(const fault& what, const std::string& token);
/// In the new process: arms what `text` says, if its token is still there.
void arm_planned_fault(std::string_view text);

}  // namespace cloister::internal

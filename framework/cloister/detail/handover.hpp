// SPDX-License-Identifier: BSD-3-Clause
// When a process forks itself, the closure it runs there takes its handles along: what the parent's copy of the closure lets go of
// while it is destroyed is what the child got. Collected here, told to the hub and the child, and only then let go.
//
// Threads: the forking one only, for the length of one call.
#pragma once

#include <cloister/detail/attachment.hpp>
#include <cloister/detail/start_block.hpp>

#include <memory>
#include <utility>
#include <vector>

namespace cloister::detail {

class handover_list {
 public:
  bool collect(attachment& object, unsigned role) noexcept;
  std::vector<object_ref> refs() const;
  /// Lets go of everything collected.
  void finish() noexcept;

 private:
  std::vector<std::pair<std::shared_ptr<attachment>, unsigned>> collected_;
};

inline thread_local handover_list* handover = nullptr;

}  // namespace cloister::detail

// SPDX-License-Identifier: BSD-3-Clause
// The plain functions that the owner of a pool has given for tasks, in a memory that its workers can only read: a letter names one by its
// place there, never by an address.
#pragma once

#include <cloister/fd.hpp>

#include <cstdint>

namespace cloister::internal {

/// The owner alone can write there: workers' memory of it is read-only.
class function_table {
 public:
  static constexpr std::uint32_t most = 256;
  /// Throws `failure`: no_memory, no_descriptors.
  static function_table create();
  static function_table attach(owned_fd fd);
  function_table(function_table&& other) noexcept;
  function_table& operator=(function_table&& other) noexcept = delete;
  ~function_table();

  int fd() const noexcept { return fd_.get(); }
  /// The owner, one thread at a time. Throws `failure`: no_memory (it is full), invalid (code of no module).
  std::uint32_t add(const void* function);
  /// Throws `failure{undecodable}`.
  const void* find(std::uint32_t index) const;

 private:
  struct entry;
  function_table(owned_fd fd, bool writes);
  owned_fd fd_;
  entry* entries_ = nullptr;
};

}  // namespace cloister::internal

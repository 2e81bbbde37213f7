// SPDX-License-Identifier: BSD-3-Clause
// What a new process is told: who it is, what it runs, and what it was handed. Encoded by its starter, decoded by itself; the hub fills in
// the identity and passes the rest on unread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cloister::detail {

/// A place in the program's image that survives exec and address randomisation: a module, and an offset in its code.
struct code_ref {
  std::string build_id;  ///< of the module, as hexadecimal digits; never empty
  std::uint64_t offset = 0;
};

/// An object and the role in which it is used. Role 0 is "holds it"; 1 and 2 are a queue's sink and source, or a pipe's two ends.
struct object_ref {
  std::uint64_t object = 0;
  std::uint32_t role = 0;
  friend bool operator==(const object_ref&, const object_ref&) = default;
};

/// What the hub decides about a new process.
struct process_identity {
  std::uint32_t incarnation = 0;  ///< unique in the node, never used again
  std::uint16_t actor = 0;        ///< its name in owner words; used again after its mailboxes were repaired
  std::uint32_t parent = 0;       ///< incarnation of the process that started it
  std::int32_t parent_pid = 0;
};

/// What its starter decides.
struct start_block {
  std::string name;
  std::string parent_name;
  bool daemon = false;
  std::uint8_t method = 0;  ///< start_method
  std::uint8_t log_level = 0;
  std::int64_t shutdown_ns = 0;  ///< how long SIGTERM may take
  bool says_ready = false;       ///< its start is over when it says so
  std::int64_t progress_ns = 0;  ///< how often it has to show progress from then on; 0: never
  std::uint64_t memory_limit = 0, cpu_limit_s = 0, open_files_limit = 0;  ///< 0: none
  // Descriptors come in this order: arguments, stdout, stderr, those among the arguments, the objects' memories.
  bool has_arguments_fd = false;  ///< the arguments are in a memfd, `arguments` is empty
  bool has_stdout = false, has_stderr = false;
  std::optional<std::string> cwd;
  std::vector<std::pair<std::string, std::string>> env;  ///< set on top of the inherited environment
  code_ref entry;
  std::string arguments;            ///< what `entry` decodes
  std::vector<object_ref> objects;  ///< the handles among the arguments, by number
  std::uint32_t descriptors = 0;    ///< how many descriptors are among the arguments
};

}  // namespace cloister::detail

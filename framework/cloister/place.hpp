// SPDX-License-Identifier: BSD-3-Clause
// Where an object lives. Every object is constructed *in a place*: `queue<int> q{here};`, `process p{here, fn};`
//
// Today a place is a `node` or a context of it (the node with another default start method). A place is referred to, not owned:
// it must outlive the constructor call, not the object.
#pragma once

#include <cstdint>
#include <string_view>

namespace cloister {

/// How new processes come into being.
enum class start_method : std::uint8_t {
  forkserver,  ///< forked by the node's small single-threaded launcher: fast, and never inherits anything by accident. The default
  spawn,       ///< the same program executed anew: nothing at all is inherited, static objects are constructed again
  fork,        ///< a copy of the calling process; refused if it has threads of its own
};
std::string_view to_string(start_method method) noexcept;

class place {
 public:
  place(const place&) = delete;
  place& operator=(const place&) = delete;
  virtual ~place() = default;

  /// How processes made here are started unless their options say otherwise.
  start_method default_start_method() const noexcept { return method_; }

 protected:
  explicit place(start_method method) noexcept : method_(method) {}
  start_method method_;
};

}  // namespace cloister

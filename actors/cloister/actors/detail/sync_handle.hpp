// SPDX-License-Identifier: BSD-3-Clause
// What the handles of mutex, semaphore, bounded_semaphore, condition, event and barrier have in common: a small shared object, and how it travels.
#pragma once

#include <cloister/detail/attachment.hpp>
#include <cloister/place.hpp>
#include <cloister/wire.hpp>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

namespace cloister::detail {

enum class sync_kind : std::uint32_t { mutex = 1, recursive_mutex, semaphore, bounded_semaphore, condition, event, barrier };

class sync_handle {
 public:
  /// False for a handle that was default constructed or moved from: its calls throw `failure{invalid}`.
  explicit operator bool() const noexcept { return static_cast<bool>(handle_); }
  /// As given, or the node's number for the object.
  const std::string& name() const { return object().name(); }
  friend bool operator==(const sync_handle& a, const sync_handle& b) noexcept { return a.handle_.object() == b.handle_.object(); }

 protected:
  sync_handle() = default;
  explicit sync_handle(object_handle handle) noexcept : handle_(std::move(handle)) {}
  ~sync_handle() = default;
  sync_handle(const sync_handle&) = default;
  sync_handle(sync_handle&&) noexcept = default;
  sync_handle& operator=(const sync_handle&) = default;
  sync_handle& operator=(sync_handle&&) noexcept = default;

  attachment& object() const;
  static void to_message(encoder& out, const sync_handle& handle);
  /// Of one of those kinds.
  static object_handle from_message(decoder& in, std::initializer_list<sync_kind> kinds);

 private:
  template <class Handle, sync_kind Kind>
  friend struct sync_codec;
  object_handle handle_;
};

/// REQUIRES: Handle is made of an object_handle alone, by a private constructor that befriends this.
template <class Handle, sync_kind Kind>
struct sync_codec {
  static constexpr std::uint64_t fingerprint = 0x73'79'6e'63'00ULL + static_cast<std::uint64_t>(Kind);
  static void put(encoder& out, const Handle& h) { sync_handle::to_message(out, h); }
  static Handle get(decoder& in) { return Handle(sync_handle::from_message(in, {Kind})); }
};

}  // namespace cloister::detail

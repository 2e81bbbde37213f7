// SPDX-License-Identifier: BSD-3-Clause
// Many small shared objects in one mapping: locks, semaphores and the like, each in a place of its own. Layout: docs/formats.md, "arena".
//
// Made by the process that creates the objects, one arena after another as they fill. An object's place is free again when its supervisor
// actor has stored 0 there; only then does its creator use it anew. Who is handed one object of an arena maps all of it.
//
// Threads: allocate by one at a time; everything else by any. Blocks: nothing.
#pragma once

#include <cloister/detail/memory.hpp>

#include <array>
#include <atomic>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

namespace cloister::detail {

/// What each place begins with. Written by the creator while `object` is 0, stored last; constant until its supervisor actor stores 0.
struct alignas(64) small_head {
  std::atomic<std::uint64_t> object;  // the node's number for the object; 0: this place is free
  std::uint32_t kind;                 // what it is, in the language of its supervisor actor
  std::uint32_t options;              // likewise
  std::uint64_t parameter;            // likewise
  std::array<char, 40> name;          // for error texts; ends with NUL

  std::string_view name_view() const noexcept;
};
static_assert(sizeof(small_head) == 64 && offsetof(small_head, name) == 24);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

class arena {
 public:
  static constexpr std::size_t bytes = std::size_t{64} * 1024;
  static constexpr std::size_t first_place = 256;
  /// A place: its head, and this much for whatever its kind keeps there.
  static constexpr std::size_t small_body = 128, large_body = 2048 - sizeof(small_head);

  /// `body`: small_body or large_body.
  static result<std::shared_ptr<arena>> create(std::uint64_t id, std::size_t body);
  static result<std::shared_ptr<arena>> attach(memory from);

  std::uint64_t id() const noexcept { return id_; }
  std::size_t body_bytes() const noexcept { return stride_ - sizeof(small_head); }
  unsigned places() const noexcept { return static_cast<unsigned>((bytes - first_place) / stride_); }
  int fd() const noexcept { return memory_.fd(); }

  /// REQUIRES: place < places()
  small_head& head(unsigned place) const noexcept;
  std::byte* body(unsigned place) const noexcept { return reinterpret_cast<std::byte*>(&head(place) + 1); }
  /// Where that object is, if it is here.
  std::optional<unsigned> find(std::uint64_t object) const noexcept;
  /// A place for it, its body all zeroes; nothing if all are taken, `no_memory` if none can be had. `fill` writes what others see of the
  /// body before they see the object.
  struct wish {
    std::uint64_t object = 0;
    std::uint32_t kind = 0, options = 0;
    std::uint64_t parameter = 0;
    std::string_view name;
  };
  result<std::optional<unsigned>> allocate(const wish& w, void (*fill)(std::byte* body, const wish& w));
  /// The place is free again. By the object's supervisor actor, when nobody holds the object.
  void release(unsigned place) noexcept {
    claimed_.reset(place);
    head(place).object.store(0, std::memory_order_release);
  }
  /// The hub's, in its own memory: false if the place is some object's already. Until it is released here.
  bool claim(unsigned place) noexcept {
    if (claimed_.test(place)) return false;
    claimed_.set(place);
    return true;
  }

 private:
  arena(memory m, std::uint64_t id, std::size_t stride) : memory_(std::move(m)), id_(id), stride_(stride) {}

  memory memory_;
  const std::uint64_t id_;
  const std::size_t stride_;
  // the creator's
  unsigned reserved_ = 0;  // places whose memory is there
  unsigned next_ = 0;
  std::bitset<bytes / (sizeof(small_head) + small_body)> claimed_;
};

}  // namespace cloister::detail

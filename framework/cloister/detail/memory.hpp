// SPDX-License-Identifier: BSD-3-Clause
// A sealed shared mapping: one memfd, mapped whole and once, whose memory is reserved before it is used.
//
// The file has its full size from birth and can neither grow nor shrink (sealed), so no peer can take mapped pages away;
// but only what `reserve` promised may be touched. A shortage is therefore `errc::no_memory` at that call, never a
// SIGBUS later. The object goes when the last process that maps it or holds its descriptor is gone: there is no name.
//
// Move-only; owned by one attachment. Threads: data(), size(), reserve() and release() any; moving, one. A forked child
// keeps the mapping. The descriptor stays open as long as the mapping, because reserving needs it.
#pragma once

#include <cloister/error.hpp>
#include <cloister/fd.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cloister::detail {

class memory {
 public:
  memory() = default;
  memory(memory&& other) noexcept;
  memory& operator=(memory&& other) noexcept;
  ~memory();

  /// Makes, reserves [0, reserve_bytes), seals and maps. `what` names the object in errors: "queue 'tasks'".
  /// REQUIRES: 0 < reserve_bytes <= max_bytes; max_bytes is rounded up to whole pages.
  static result<memory> create(std::string_view what, std::size_t max_bytes, std::size_t reserve_bytes);
  /// The same over an empty file of the caller's, unsealed: another filesystem, for tests.
  static result<memory> adopt(owned_fd fd, std::string_view what, std::size_t max_bytes, std::size_t reserve_bytes);
  /// Maps what another process made. Refuses (`wrong_type`) anything that is not sealed against shrinking and growing.
  static result<memory> attach(owned_fd fd, std::string_view what);

  /// Makes [from, from + bytes) safe to touch. Idempotent. On `no_memory` (or `invalid`: outside the file) nothing has
  /// changed. Not interrupted by signals. Cost: about 0.1 us a page that was not there.
  result<void> reserve(std::size_t from, std::size_t bytes);
  /// The same, without a text.
  bool try_reserve(std::size_t from, std::size_t bytes) noexcept;
  /// Gives the whole pages inside [from, from + bytes) back to the system: they read as zeroes, and must be reserved
  /// again before use. A failure to do so is ignored (the memory simply stays).
  void release(std::size_t from, std::size_t bytes) noexcept;

  std::byte* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  int fd() const noexcept { return fd_.get(); }
  /// Where nobody else is going to be given it.
  void close_fd() noexcept { fd_.reset(); }
  explicit operator bool() const noexcept { return data_ != nullptr; }
  /// As given to create, adopt or attach; for error texts.
  const std::string& what() const noexcept { return what_; }

 private:
  static result<memory> prepare(owned_fd fd, std::string_view what, std::size_t max_bytes, std::size_t reserve_bytes, bool seal);
  result<void> map();

  owned_fd fd_;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::string what_;
};

enum class object_kind : std::uint32_t { pipe = 1, queue = 2, arena = 3, cells = 4 };

/// The first 128 bytes of every shared object (docs/formats.md, "object header"). Written by the creator before anybody
/// else sees the object, never changed; an attaching process checks it, copies it and does not read it again.
struct object_header {
  std::uint64_t magic;
  std::uint32_t version;
  object_kind kind;
  std::uint64_t id;                           // the node's number for the object
  std::uint64_t size;                         // of the whole mapping
  std::array<std::uint64_t, 2> fingerprints;  // of the message type; a pipe has one for each direction
  std::array<char, 40> name;                  // for error texts; ends with NUL
  std::array<std::uint64_t, 5> reserved;      // zero

  static constexpr std::uint64_t magic_value = 0x31726574'73696f6c;  // "loister1"
  static constexpr std::uint32_t current_version = 1;

  /// A long name is cut.
  static object_header make(object_kind kind, std::uint64_t id, std::array<std::uint64_t, 2> fingerprints, std::size_t size,
                            std::string_view name);
  /// Copies the header out of `from` and checks it: `wrong_type` for another kind, `broken` for nonsense.
  static result<object_header> read(const memory& from, object_kind expected);
  std::string_view name_view() const noexcept;
};
static_assert(sizeof(object_header) == 128 && alignof(object_header) == 8);
static_assert(offsetof(object_header, id) == 16 && offsetof(object_header, fingerprints) == 32 &&
              offsetof(object_header, name) == 48);

/// The page size of this machine.
std::size_t page_size() noexcept;
/// `n` rounded up to whole pages; saturates.
std::size_t round_to_pages(std::size_t n) noexcept;

}  // namespace cloister::detail

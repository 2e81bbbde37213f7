// SPDX-License-Identifier: BSD-3-Clause
// How a value becomes bytes and back: what can be sent in messages and passed as arguments.
//
//   struct order { int id; std::string item; std::vector<double> prices; };   // no macro, no registration
//   auto bytes = encode(order{1, "tea", {2.5}});
//   auto again = decode<order>(bytes);
//
// What travels: numbers, enums with a fixed underlying type; strings, the containers, optional, variant, tuple, pair, unique_ptr,
// chrono times and paths of the standard library; structs of up to 32 public members that travel; function objects without state;
// handles. A class with private members says once which of them make up its value, and must be default constructible:
//
//   class account {
//    public:
//     auto travel() { return std::tie(owner_, cents_); }   // may be private, with `friend struct cloister::travel_access;`
//    private:
//     std::string owner_; long cents_ = 0;
//   };
//
// For a class that cannot be changed, specialise `codec`. Anything else is refused by the compiler with a sentence.
// Bytes are in the layout of docs/formats.md, section "Messages". Plain values, one thread at a time; nothing here blocks.
#pragma once

#include <cloister/detail/wire_check.hpp>
#include <cloister/detail/wire_fingerprint.hpp>
#include <cloister/detail/wire_flat.hpp>
#include <cloister/error.hpp>
#include <cloister/fd.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cloister {

/// Values of T can be sent and received. Ask it of complete types only, so not in the head of a class template that T may contain.
template <class T>
concept travels = detail::receives<T>;

/// A T's encoding is its memory, `flat_size<T>` = sizeof(T) bytes, padding included: numbers, enums, chrono times, and arrays,
/// pairs and structs of nothing else. One memcpy each way; but decoding checks that bools are bools.
template <class T>
inline constexpr bool is_flat = detail::is_image<std::remove_cv_t<T>>;
template <class T>
inline constexpr std::size_t flat_size = is_flat<T> ? sizeof(T) : 0;

/// How deep recursive types may nest containers and unique_ptrs.
inline constexpr unsigned max_depth = 128;

namespace detail {
class attachment;

/// A type's name as people write it: "std::vector<std::string>".
std::string readable(std::string_view type_name);

/// Where the handles in a message go. The number returned is written into the message in the handle's place.
struct handle_sink {
  virtual std::uint64_t put_object(attachment& object, unsigned role) = 0;
  virtual std::uint64_t put_fd(int fd) = 0;

 protected:
  ~handle_sink() = default;
};

/// Where they come from: `number` is what the sink returned, `object` the id that the message names. Throw `failure`.
struct handle_source {
  virtual std::shared_ptr<attachment> take_object(std::uint64_t number, std::uint64_t object, unsigned role,
                                                  std::uint64_t fingerprint) = 0;
  virtual owned_fd take_fd(std::uint64_t number) = 0;

 protected:
  ~handle_source() = default;
};
}  // namespace detail

/// Bytes under construction, in this process's own memory: 256 of them inside, more on the heap. Made to be used again.
/// A call that throws has added nothing.
class encoder {
 public:
  explicit encoder(detail::handle_sink* handles = nullptr) noexcept : handles_(handles) {}
  encoder(const encoder&) = delete;
  encoder& operator=(const encoder&) = delete;

  /// Appends the encoding of `v`. Throws `failure{invalid}` for a value that has none: a variant without value, more than
  /// max_depth levels.
  template <class T>
  void value(const T& v);
  /// Appends bytes as they are. Large ones are not copied if borrow_large() says so.
  void raw(const void* from, std::size_t bytes);
  /// Appends room for so many bytes, to be filled before the next call.
  std::byte* grow(std::size_t bytes);
  /// Appends a count as containers have it: 4 bytes, 12 from 2^32 - 1 up.
  void count(std::size_t n);
  /// Zeros up to a multiple of `alignment` bytes, a power of two, from the beginning.
  void pad(std::size_t alignment);

  /// REQUIRES: nothing was borrowed.
  std::span<const std::byte> bytes() const noexcept { return {begin_, own_size()}; }
  std::size_t size() const noexcept { return own_size() + borrowed_bytes_; }
  /// From now on, and until clear(), at least 4 KiB of raw bytes at once stay where they are: what is encoded must live until
  /// pieces() are done with.
  void borrow_large() noexcept { borrows_ = true; }
  /// While it lives, everything is copied: what is encoded is gone before the message.
  class copying {
   public:
    explicit copying(encoder& of) noexcept : of_(of), before_(std::exchange(of.borrows_, false)) {}
    copying(const copying&) = delete;
    copying& operator=(const copying&) = delete;
    ~copying() { of_.borrows_ = before_; }

   private:
    encoder& of_;
    bool before_;
  };
  /// The message, whatever was borrowed. Valid until the next call of something that is not const.
  std::span<const std::span<const std::byte>> pieces();
  /// Empties it; memory beyond `keep` bytes is given back.
  void clear(std::size_t keep = 64 * 1024) noexcept;

  /// Where handles go; nullptr if none can travel here.
  detail::handle_sink* handles() const noexcept { return handles_; }
  void handles(detail::handle_sink* sink) noexcept { handles_ = sink; }
  /// The same, or `failure{invalid}` that names the handle's type.
  detail::handle_sink& need_handles(std::string_view type) const;

  void enter(std::string_view type);  ///< one level deeper; throws beyond max_depth
  void leave() noexcept { --depth_; }

 private:
  class undo;
  struct loan {
    std::size_t at;  // own bytes before it
    std::span<const std::byte> bytes;
  };
  static constexpr std::size_t least_borrowed = 4096;
  std::size_t own_size() const noexcept { return static_cast<std::size_t>(at_ - begin_); }
  void expand(std::size_t bytes);
  void borrow(const void* from, std::size_t bytes);

  std::byte inline_[256];
  std::unique_ptr<std::byte[]> heap_;
  std::byte* begin_ = inline_;
  std::byte* at_ = inline_;
  std::byte* end_ = inline_ + sizeof inline_;
  bool borrows_ = false;
  std::vector<loan> loans_;
  std::size_t borrowed_bytes_ = 0;
  std::vector<std::span<const std::byte>> pieces_;
  unsigned depth_ = 0;
  detail::handle_sink* handles_;
};

/// Reads what an encoder wrote, or what somebody hostile did: every call checks before it reads or allocates, and throws
/// `failure{undecodable}` with the name of the type and what is wrong. Reads the bytes in place: they must be this process's own, unless
/// the type is detail::read_once.
class decoder {
 public:
  explicit decoder(std::span<const std::byte> bytes, detail::handle_source* handles = nullptr) noexcept
      : begin_(bytes.data()), at_(begin_), end_(bytes.data() + bytes.size()), handles_(handles) {}
  decoder(const decoder&) = delete;
  decoder& operator=(const decoder&) = delete;

  template <class T>
  T value();
  /// The next bytes; `type` is for the text of the error if there are not so many.
  const std::byte* take(std::size_t bytes, std::string_view type);
  /// A count of things of which `per` take at least `each` bytes, all of them still ahead.
  std::size_t count(std::size_t each, std::string_view type, std::size_t per = 1);
  /// Passes over what encoder::pad wrote.
  void pad(std::size_t alignment, std::string_view type) { take(static_cast<std::size_t>(begin_ - at_) & (alignment - 1), type); }
  std::size_t left() const noexcept { return static_cast<std::size_t>(end_ - at_); }
  /// Throws if anything is left.
  void finish(std::string_view type = "message");

  detail::handle_source* handles() const noexcept { return handles_; }
  detail::handle_source& need_handles(std::string_view type) const;

  [[noreturn]] void fail(std::string_view type, std::string_view what) const;
  void enter(std::string_view type);
  void leave() noexcept { --depth_; }

 private:
  class subject;
  [[noreturn]] void fail_short(std::size_t bytes, std::string_view type) const;
  [[noreturn]] void fail_memory() const;

  const std::byte* begin_;
  const std::byte* at_;
  const std::byte* end_;
  std::string_view subject_{};  // the type asked for, while it is read
  unsigned depth_ = 0;
  detail::handle_source* handles_;
};

/// Hand-written bytes for a type: specialise it with
///   static constexpr std::uint64_t fingerprint = ...;  // another number for another layout
///   using element = ...;                               // optional: a type whose shape counts as well, as that of a queue's messages
///   static void put(encoder&, const T&);               // must write at least one byte
///   static T get(decoder&);                            // must read what put wrote, and refuse what it cannot have written
template <class T>
struct codec;

/// The bytes of one value, complete. Throws `failure{invalid}` for a value that has none.
template <class T>
std::vector<std::byte> encode(const T& v);
/// The value of one whole message. Throws `failure{undecodable}`, or what `handles` throws.
template <class T>
T decode(std::span<const std::byte> bytes, detail::handle_source* handles = nullptr);
template <class T>
result<T> try_decode(std::span<const std::byte> bytes, detail::handle_source* handles = nullptr);

/// Names the shape of T: equal in every program, compiler and build in which T has the same kinds and sizes of members in the same
/// order. Names of types and members do not count.
template <class T>
constexpr std::uint64_t fingerprint() {
  return detail::fingerprint_of<std::remove_cv_t<T>>();
}

}  // namespace cloister

#include <cloister/detail/wire_coders.hpp>   // bodies
#include <cloister/detail/wire_library.hpp>  // codecs of owned_fd, exit_status, error

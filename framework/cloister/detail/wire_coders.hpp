// SPDX-License-Identifier: BSD-3-Clause
// The bodies of encoder, decoder and the functions of wire.hpp.
#pragma once

#include <cloister/detail/wire_get.hpp>
#include <cloister/detail/wire_put.hpp>
#include <cloister/wire.hpp>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace cloister {

namespace detail {  // for whoever includes wire_put.hpp or wire_get.hpp first
template <class T>
void put(encoder& out, const T& v);
template <class T>
T get(decoder& in);
}  // namespace detail

inline std::byte* encoder::grow(std::size_t bytes) {
  if (static_cast<std::size_t>(end_ - at_) < bytes) expand(bytes);
  return std::exchange(at_, at_ + bytes);
}

inline void encoder::raw(const void* from, std::size_t bytes) {
  if (borrows_ && bytes >= least_borrowed) return borrow(from, bytes);
  if (bytes != 0) std::memcpy(grow(bytes), from, bytes);
}

inline void encoder::pad(std::size_t alignment) {
  const std::size_t bytes = (0 - size()) & (alignment - 1);
  if (bytes != 0) std::memset(grow(bytes), 0, bytes);
}

inline void encoder::count(std::size_t n) {
  if (n < 0xffffffff) [[likely]] {
    const auto small = static_cast<std::uint32_t>(n);
    std::memcpy(grow(sizeof small), &small, sizeof small);
  } else {
    std::memset(grow(4), 0xff, 4);
    const std::uint64_t large = n;
    std::memcpy(grow(sizeof large), &large, sizeof large);
  }
}

class encoder::undo {
 public:
  explicit undo(encoder& of) noexcept : of_(&of), size_(of.own_size()), loans_(of.loans_.size()), depth_(of.depth_) {}
  undo(const undo&) = delete;
  undo& operator=(const undo&) = delete;
  ~undo() {
    if (of_ == nullptr) return;
    of_->at_ = of_->begin_ + size_;
    for (; of_->loans_.size() > loans_; of_->loans_.pop_back()) of_->borrowed_bytes_ -= of_->loans_.back().bytes.size();
    of_->depth_ = depth_;
  }
  void forget() noexcept { of_ = nullptr; }

 private:
  encoder* of_;
  std::size_t size_;
  std::size_t loans_;
  unsigned depth_;
};

template <class T>
void encoder::value(const T& v) {
  detail::must_travel<T, false>();
  if constexpr (detail::flat<T>) {
    detail::put(*this, v);
  } else if constexpr (detail::sends<T>) {
    undo on_failure(*this);
    detail::put(*this, v);
    on_failure.forget();
  }
}

inline const std::byte* decoder::take(std::size_t bytes, std::string_view type) {
  if (left() < bytes) [[unlikely]]
    fail_short(bytes, type);
  return std::exchange(at_, at_ + bytes);
}

/// The outermost type being read is named in the texts of errors.
class decoder::subject {
 public:
  subject(decoder& of, std::string_view type) noexcept : of_(of), outermost_(of.subject_.empty()) {
    if (outermost_) of_.subject_ = type;
  }
  subject(const subject&) = delete;
  subject& operator=(const subject&) = delete;
  ~subject() {
    if (outermost_) of_.subject_ = {};
  }

 private:
  decoder& of_;
  bool outermost_;
};

template <class T>
T decoder::value() {
  using value_type = std::remove_cv_t<T>;
  detail::must_travel<value_type>();
  if constexpr (detail::receives<value_type>) {
    const subject reading(*this, detail::type_name<value_type>);
    try {
      return detail::get<value_type>(*this);
    } catch (const std::bad_alloc&) { fail_memory(); }
  } else {
    fail(detail::type_name<value_type>, "cannot travel");
  }
}

template <class T>
std::vector<std::byte> encode(const T& v) {
  encoder out;
  out.value(v);
  return {out.bytes().begin(), out.bytes().end()};
}

template <class T>
T decode(std::span<const std::byte> bytes, detail::handle_source* handles) {
  decoder in(bytes, handles);
  T v = in.value<T>();
  in.finish(detail::type_name<T>);
  return v;
}

template <class T>
result<T> try_decode(std::span<const std::byte> bytes, detail::handle_source* handles) {
  try {
    return decode<T>(bytes, handles);
  } catch (const failure& f) { return f.error(); }
}

}  // namespace cloister

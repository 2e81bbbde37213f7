// SPDX-License-Identifier: BSD-3-Clause
// The parts of encoder and decoder that are not templates, and the texts of their errors.
#include <cloister/wire.hpp>

#include <algorithm>
#include <new>

namespace cloister {

namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
}

std::string bytes_text(std::size_t n) { return std::to_string(n) + (n == 1 ? " byte" : " bytes"); }

}  // namespace

namespace detail {

std::string readable(std::string_view type_name) {
  std::string text(type_name);
  replace_all(text, "std::__cxx11::", "std::");
  replace_all(text, "std::__1::", "std::");
  replace_all(text, "{anonymous}::", "");
  replace_all(text, "(anonymous namespace)::", "");
  replace_all(text, "std::basic_string<char>", "std::string");
  replace_all(text, "std::basic_string_view<char>", "std::string_view");
  replace_all(text, "> >", ">>");
  return text;
}

}  // namespace detail

void encoder::expand(std::size_t bytes) {
  const std::size_t used = own_size();
  const std::size_t capacity = std::max(used + bytes, 2 * static_cast<std::size_t>(end_ - begin_));
  std::unique_ptr<std::byte[]> larger;
  try {
    larger = std::make_unique_for_overwrite<std::byte[]>(capacity);
  } catch (const std::bad_alloc&) {
    throw failure(errc::no_memory, "encode: no memory for a message of " + bytes_text(used + bytes));
  }
  std::memcpy(larger.get(), begin_, used);
  heap_ = std::move(larger);
  begin_ = heap_.get();
  at_ = begin_ + used;
  end_ = begin_ + capacity;
}

void encoder::clear(std::size_t keep) noexcept {
  if (heap_ && static_cast<std::size_t>(end_ - begin_) > keep) {
    heap_.reset();
    begin_ = inline_;
    end_ = inline_ + sizeof inline_;
  }
  at_ = begin_;
  borrows_ = false;
  loans_.clear();
  borrowed_bytes_ = 0;
  depth_ = 0;
}

void encoder::borrow(const void* from, std::size_t bytes) {
  loans_.push_back({own_size(), {static_cast<const std::byte*>(from), bytes}});
  borrowed_bytes_ += bytes;
}

std::span<const std::span<const std::byte>> encoder::pieces() {
  pieces_.clear();
  std::size_t done = 0;
  for (const auto& [at, bytes] : loans_) {
    pieces_.emplace_back(begin_ + done, at - done);
    pieces_.push_back(bytes);
    done = at;
  }
  pieces_.emplace_back(begin_ + done, own_size() - done);
  return pieces_;
}

void encoder::enter(std::string_view type) {
  if (++depth_ > max_depth)
    throw failure(errc::invalid,
                  "encode of '" + detail::readable(type) + "': nested deeper than " + std::to_string(max_depth) + " levels");
}

detail::handle_sink& encoder::need_handles(std::string_view type) const {
  if (handles_ == nullptr)
    throw failure(errc::invalid,
                  "encode of '" + detail::readable(type) +
                      "': handles and descriptors travel only in messages of a queue or pipe and as arguments of a process");
  return *handles_;
}

void decoder::fail(std::string_view type, std::string_view what) const {
  std::string text = "decode of '" + detail::readable(subject_.empty() ? type : subject_) + "': ";
  if (!subject_.empty() && subject_ != type) text += "'" + detail::readable(type) + "': ";
  text += what;
  throw failure(errc::undecodable, text);
}

void decoder::fail_short(std::size_t bytes, std::string_view type) const {
  fail(type, "needs " + bytes_text(bytes) + ", " + std::to_string(left()) + " left");
}

void decoder::fail_memory() const { throw failure(errc::no_memory, "decode of '" + detail::readable(subject_) + "': no memory"); }

std::size_t decoder::count(std::size_t each, std::string_view type, std::size_t per) {
  std::uint32_t small = 0;
  std::memcpy(&small, take(sizeof small, type), sizeof small);
  std::uint64_t n = small;
  if (small == 0xffffffff) {
    std::memcpy(&n, take(sizeof n, type), sizeof n);
    if (n < 0xffffffff) fail(type, "count " + std::to_string(n) + " in the long form");
  }
  // Divided, not multiplied: nothing can overflow.
  if (n / per + (n % per != 0) > left() / each)
    fail(type, "count " + std::to_string(n) + " needs more than the " + bytes_text(left()) + " left");
  return n;
}

void decoder::finish(std::string_view type) {
  if (left() != 0) fail(type, bytes_text(left()) + " behind its end");
}

void decoder::enter(std::string_view type) {
  if (++depth_ > max_depth) fail(type, "nested deeper than " + std::to_string(max_depth) + " levels");
}

detail::handle_source& decoder::need_handles(std::string_view type) const {
  if (handles_ == nullptr) fail(type, "handles and descriptors do not come from here");
  return *handles_;
}

}  // namespace cloister

// SPDX-License-Identifier: BSD-3-Clause
// Places of small objects: given out in turn, so that one is not used again at once.
#include <cloister/detail/arena.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

namespace cloister::detail {

std::string_view small_head::name_view() const noexcept {
  return {name.data(), static_cast<std::size_t>(std::find(name.begin(), name.end() - 1, '\0') - name.begin())};
}

result<std::shared_ptr<arena>> arena::create(std::uint64_t id, std::size_t body) {
  auto made = memory::create("arena", bytes, first_place);
  if (!made) return made.error();
  const std::size_t stride = sizeof(small_head) + body;
  const auto header = object_header::make(object_kind::arena, id, {stride, 0}, bytes, "arena");
  std::memcpy(made->data(), &header, sizeof header);
  return std::shared_ptr<arena>(new arena(*std::move(made), id, stride));
}

result<std::shared_ptr<arena>> arena::attach(memory from) {
  auto header = object_header::read(from, object_kind::arena);
  if (!header) return header.error();
  const auto stride = header->fingerprints[0];
  if (header->size != bytes || (stride != sizeof(small_head) + small_body && stride != sizeof(small_head) + large_body))
    return error{errc::broken, "arena attach: its header is corrupted"};
  return std::shared_ptr<arena>(new arena(std::move(from), header->id, stride));
}

small_head& arena::head(unsigned place) const noexcept {
  return *reinterpret_cast<small_head*>(memory_.data() + first_place + place * stride_);
}

std::optional<unsigned> arena::find(std::uint64_t object) const noexcept {
  for (unsigned place = 0; place < places(); ++place)
    if (head(place).object.load(std::memory_order_acquire) == object) return place;
  return {};
}

result<std::optional<unsigned>> arena::allocate(const wish& w, void (*fill)(std::byte* body, const wish& w)) {
  unsigned place = places();
  for (unsigned n = 0; n < reserved_ && place == places(); ++n) {
    const unsigned at = (next_ + n) % reserved_;
    if (head(at).object.load(std::memory_order_acquire) == 0) place = at;
  }
  if (place == places()) {
    if (reserved_ == places()) return std::optional<unsigned>();
    if (auto there = memory_.reserve(first_place + reserved_ * stride_, stride_); !there) return there.error();
    place = reserved_++;
  }
  next_ = place + 1;
  auto& h = head(place);
  std::memset(body(place), 0, body_bytes());
  h.kind = w.kind;
  h.options = w.options;
  h.parameter = w.parameter;
  h.name = {};
  std::copy_n(w.name.begin(), std::min(w.name.size(), h.name.size() - 1), h.name.begin());
  if (fill != nullptr) fill(body(place), w);
  h.object.store(w.object, std::memory_order_release);
  return std::optional(place);
}

}  // namespace cloister::detail

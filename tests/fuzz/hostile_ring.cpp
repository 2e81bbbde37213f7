// SPDX-License-Identifier: BSD-3-Clause
// libFuzzer target: a peer that scribbles over a pipe's shared memory while others use it. No call may crash, touch memory
// outside, or run for ever; a broken pipe stays broken. As long as nobody has scribbled, every message arrives whole and in order.
//
// An input is a sequence of 10-byte steps: {what, target, 8 bytes of value}; the first byte of all chooses max_bytes.
#include <cloister/detail/ring.hpp>

#include <fcntl.h>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <vector>

using namespace cloister;
using namespace cloister::detail;

namespace {

struct step {
  std::uint8_t what;
  std::uint8_t target;
  std::uint64_t value;
};

void must(bool holds) {
  if (!holds) std::abort();
}

class session {
 public:
  explicit session(std::uint8_t kind) {
    static constexpr std::size_t limits[] = {16'384, 100'000, 300'000, 5'000'000};
    ring::options o;
    o.name = "fuzzed";
    o.max_bytes = limits[kind % 4];
    ends_[0] = ring::create(o).value();
    for (unsigned d = 0; d < 2; ++d) ends_[0]->set_ringers(d, {[](void*) noexcept {}, nullptr}, {[](void*) noexcept {}, nullptr});
    raw_ = memory::attach(owned_fd(::fcntl(ends_[0]->fd(), F_DUPFD_CLOEXEC, 0)), "raw").value();
    ends_[1] = ring::attach(memory::attach(owned_fd(::fcntl(raw_.fd(), F_DUPFD_CLOEXEC, 0)), "peer").value()).value();
    bytes_.resize(5'000'016);
    most_ = o.max_bytes - 8;
  }

  void run(const step& s) {
    const unsigned d = s.target & 1;
    ring& writer = *ends_[d];
    ring& reader = *ends_[1 - d];
    switch (s.what % 20) {
      case 0:
      case 1: put(writer, d, s.value % 300, s.value); break;
      case 2: put(writer, d, s.value % 20'000, s.value); break;
      case 3: put(writer, d, s.value % (most_ + 16), s.value); break;
      case 4:
      case 5:
      case 6: get(reader, d); break;
      case 7: {
        const auto r = reader.poll(d, deadline::passed());
        if (clean_) must(r.has_value() && *r == !model_[d].empty());
        break;
      }
      case 8: ends_[s.target >> 1 & 1]->take_over(d); break;  // possibly of an end that is used in the other mapping too
      case 9: writer.look(); break;
      case 10: (s.value & 1 ? writer.data(d) : writer.space(d)).arm_bell(); break;
      case 11:
        static_cast<void>(writer.consumed(d, s.value));
        if (clean_) must(writer.tail_position(d) - writer.unread(d) <= writer.tail_position(d));
        break;
      case 12:
        writer.set_end_state(d, static_cast<end_state>(s.value % 3), exit_status::signaled(9));
        clean_ = false;
        break;
      case 13: scribble<std::uint64_t>(256 + s.target % 215 * 8, s.value); break;  // ends and both lanes
      case 14: scribble<std::uint32_t>(256 + s.target * 4, static_cast<std::uint32_t>(s.value)); break;
      case 15: scribble<std::uint64_t>(s.value % (raw_.size() / 8) * 8, s.value >> 20 | s.value << 44); break;
      case 16: scribble<std::uint64_t>(384 + d * 640 + (s.target >> 1 & 7) * 8 + (s.target & 16) * 8, s.value % 65'536); break;
      case 17: {  // near the truth: a header or a word changed a little
        const std::size_t at = s.target & 2 ? 4096 + s.value % 4096 / 8 * 8 : 384 + d * 640 + (s.value >> 32) % 48 * 8;
        std::uint64_t word = 0;
        std::memcpy(&word, raw_.data() + at, sizeof word);
        scribble<std::uint64_t>(at, word + 8 * (s.value % 9) - 32);
        break;
      }
      case 18: {  // what an attaching process makes of it
        auto again = ring::attach(memory::attach(owned_fd(::fcntl(raw_.fd(), F_DUPFD_CLOEXEC, 0)), "again").value());
        if (again) ends_[1] = std::move(*again);
        break;
      }
      case 19:  // a fresh chance
        std::memset(raw_.data() + 256, 0, 24);
        for (unsigned end = 0; end < 2; ++end) ends_[end]->take_over(end);
        break;
    }
    if (ends_[0]->is_broken()) {
      must(ends_[d]->put(d, std::span<const std::byte>{}, deadline::passed()) == errc::broken);
      must(ends_[1 - d]->peek(d, deadline::passed()) == errc::broken);
    }
  }

 private:
  template <class T>
  void scribble(std::size_t at, T value) {
    clean_ = false;
    std::memcpy(raw_.data() + at, &value, sizeof value);
  }

  void put(ring& writer, unsigned d, std::size_t size, std::uint64_t seed) {
    std::memset(bytes_.data(), static_cast<int>(seed % 251), size);
    const auto r = writer.put(d, std::span(bytes_).first(size), deadline::passed());
    if (!clean_) return;
    if (r) model_[d].push_back({size, static_cast<unsigned char>(seed % 251)});
    else must(r == errc::would_block || r == errc::too_large);
  }

  void get(ring& reader, unsigned d) {
    const auto m = reader.peek(d, deadline::passed());
    if (clean_) must(m.has_value() == !model_[d].empty());
    if (!m) return;
    must(m->size() <= most_);
    m->copy_to(bytes_.data());
    if (clean_) {
      must(m->size() == model_[d].front().size);
      for (std::size_t i = 0; i < m->size(); ++i) must(bytes_[i] == std::byte{model_[d].front().value});
      model_[d].pop_front();
    }
    reader.pop(d);
  }

  struct expected {
    std::size_t size;
    unsigned char value;
  };
  std::unique_ptr<ring> ends_[2];
  memory raw_;
  static inline std::vector<std::byte> bytes_;
  std::size_t most_ = 0;
  std::deque<expected> model_[2];
  bool clean_ = true;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  session s(data[0]);
  for (++data, --size; size >= 10; data += 10, size -= 10) {
    step next{data[0], data[1], 0};
    std::memcpy(&next.value, data + 2, sizeof next.value);
    s.run(next);
  }
  return 0;
}

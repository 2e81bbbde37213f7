// SPDX-License-Identifier: BSD-3-Clause
// libFuzzer target: a peer that scribbles over a queue's shared memory while others use it. No call may crash, touch memory
// outside, or run for ever; what it returns does not matter, except that a broken queue stays broken.
//
// An input is a sequence of 10-byte steps: {what, target, 8 bytes of value}.
#include <cloister/detail/slots.hpp>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

using namespace cloister;
using namespace cloister::detail;

namespace {

struct step {
  std::uint8_t what;
  std::uint8_t target;
  std::uint64_t value;
};

class session {
 public:
  explicit session(std::uint8_t kind) {
    slots_options o{.name = "fuzzed", .max_bytes = 1 << 18};
    if (kind & 1) o.max_items = 1 + kind / 16;
    if (kind & 2) o.message_size = 2000;
    if (kind & 4) o.max_deliveries = 2;
    q_ = slots::create(o).value();
  }

  void run(const step& s) {
    const auto me = static_cast<actor_id>(1 + s.value % 3);
    switch (s.what % 20) {
      case 0:
      case 1: (void)q_->put(me, std::span(bytes_).first(s.value % 200), deadline::passed()); break;
      case 2: (void)q_->put(me, std::span(bytes_).first(s.value % bytes_.size()), deadline::passed()); break;
      case 3: {
        const std::vector<std::span<const std::byte>> many(s.target % 9, std::span(bytes_).first(s.value % 3000));
        (void)q_->put_many(me, many, deadline::passed());
        break;
      }
      case 4:
      case 5:
        if (auto t = q_->take(me, deadline::passed())) {
          std::vector<std::byte> copy(t->size());
          t->copy_to(copy);
          held_.push_back(std::move(*t));
        }
        break;
      case 6:
        if (auto some = q_->take_many(me, s.target % 9, deadline::passed())) q_->deliver_many(*some);
        break;
      case 7:
        if (!held_.empty()) held_.back().deliver(), held_.pop_back();
        break;
      case 8:
        if (!held_.empty()) held_.pop_back();  // gives back
        break;
      case 9:
        if (!held_.empty()) {
          if (auto l = held_.back().lease()) leases_.push_back(*l);
          held_.pop_back();
        }
        break;
      case 10:
        if (!leases_.empty()) (void)q_->ack(me, leases_.back());
        break;
      case 11:
        if (!leases_.empty()) (void)q_->give_back(me, leases_.back());
        break;
      case 12: {
        auto t = q_->take_dead(me, deadline::passed());
        if (t) t->deliver();
        break;
      }
      case 13: {
        const std::vector<actor_id> dead{me};
        q_->repair(dead);
        break;
      }
      case 14: q_->look(); break;
      case 15: (void)(q_->would_return(me) + q_->closed() + q_->unfinished()); break;
      case 16:
        (void)(q_->size() + q_->empty() + q_->full() + q_->consumed(s.value) + q_->next_position() + q_->stats().dead);
        (void)q_->wait_idle(deadline::passed());
        break;
      case 17:
        if (s.target < 8) q_->close(me, s.target < 4 ? close_mode::drain : close_mode::now);
        break;
      default: scribble(s); break;
    }
  }

 private:
  void scribble(const step& s) {
    auto& l = q_->layout();
    const auto& g = l.geometry();
    auto* data = l.mapping().data();
    const std::uint64_t at[] = {slots_shared::at,
                                slots_shared::at + offsetof(slots_shared, bases),
                                slots_geometry::rings_at,
                                g.ring_at(g.rings - 1),
                                g.leases_at,
                                g.chunk_table_at};
    const std::uint64_t length[] = {offsetof(slots_shared, ready),
                                    sizeof(slots_shared) - offsetof(slots_shared, bases),
                                    g.ring_bytes(0),
                                    g.ring_bytes(0),
                                    g.level_bytes(0),
                                    64 * sizeof(chunk_entry)};
    const auto area = s.target % 6;
    const auto offset = (s.value >> 40) * 8 % length[area];
    std::uint64_t word = 0;
    std::memcpy(&word, data + at[area] + offset, sizeof word);
    switch (s.target / 6 % 4) {
      case 0: word ^= std::uint64_t{1} << (s.value & 63); break;
      case 1: word = s.value & 0xffffff; break;
      case 2: word += s.value & 0xff; break;
      case 3: word = (word & ~(std::uint64_t{15} << 20)) | (s.value & 15) << 20; break;  // the state of a slot or a lease
    }
    std::memcpy(data + at[area] + offset, &word, sizeof word);
  }

  std::unique_ptr<slots> q_;
  std::vector<taken> held_;
  std::vector<lease_token> leases_;
  static inline const std::vector<std::byte> bytes_ = std::vector<std::byte>(70'000, std::byte{7});
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  session s(data[0]);
  for (std::size_t i = 1; i + 10 <= size && i < 10 * 400; i += 10) {
    step one{data[i], data[i + 1], 0};
    std::memcpy(&one.value, data + i + 2, sizeof one.value);
    s.run(one);
  }
  return 0;
}

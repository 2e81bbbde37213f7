// SPDX-License-Identifier: BSD-3-Clause
// libFuzzer target: processes out of their minds against the supervisor actor of synchronisation, which lives in the node's first process.
// They ask anything of any object, with any cell of theirs, and write into objects and cells what they like. No call may crash or run for
// ever. As every message is decoded first, whatever decodes as a request to the hub is what can arrive at all: that is fuzzed beside it.
//
// An input is a sequence of 11-byte steps: {what, who, object, 8 bytes of value}.
#include <cloister/actors/internal/sync_actor.hpp>
#include <cloister/internal/control.hpp>

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

using namespace cloister;
using namespace cloister::internal;

namespace {

constexpr unsigned users = 4, objects = 8, cells = 4;

class session {
 public:
  session() {
    for (unsigned u = 1; u <= users; ++u) living_.set(u);
    for (auto& block : blocks_) block = detail::cell_block::create(1).value();
    small_ = detail::arena::create(1, detail::arena::small_body).value();
    large_ = detail::arena::create(2, detail::arena::large_body).value();
    for (unsigned n = 0; n < objects; ++n) create(n, n % 7 + 1, n + 1);
  }

  void run(std::uint8_t what, std::uint8_t who, std::uint8_t which, std::uint64_t value) {
    const service_user user{{who % users + 1U, static_cast<std::int32_t>(who % users + 100), "wild"},
                            static_cast<std::uint16_t>(who % users + 1)};
    auto& object = all_[which % objects];
    switch (what % 8) {
      case 0:
      case 1:
      case 2: {
        service::call c{user, object.id, static_cast<std::uint32_t>(value % 12), {}, {}, value >> 16};
        if (what % 8 != 2) {
          c.answer_in.block = blocks_[who % users];
          c.answer_in.cell = &c.answer_in.block->cell(value >> 8 & (cells - 1));
          c.answer_in.ticket = static_cast<std::uint32_t>(value >> 12 & 3);
        }
        actor_.asked(std::move(c));
        break;
      }
      case 3:
        blocks_[who % users]->cell(value >> 8 & (cells - 1)).word =
            detail::wait_cell::make(static_cast<std::uint32_t>(value >> 12 & 3), static_cast<detail::cell_state>(value & 7));
        break;
      case 4: {
        const auto bytes = object.home->body_bytes();
        std::memcpy(object.home->body(object.place) + (value >> 48) % (bytes / 8) * 8, &value, sizeof value);
        break;
      }
      case 5: actor_.dropped(user, object.id); break;
      case 6: {
        const lost_object lost{object.id, (value & 1) != 0};
        actor_.died(user, (value & 2) != 0 ? exit_status::exited(0) : exit_status::signaled(9), std::span(&lost, 1));
        break;
      }
      default:
        if ((value & 3) == 0) {
          actor_.removed(object.id);
          create(which % objects, static_cast<unsigned>(value >> 8 & 15), value >> 16);
        }
        break;
    }
    now_ += static_cast<std::int64_t>(value & 0xffffff);
    actor_.look(now_);
  }

 private:
  // Whatever its head says.
  void create(unsigned n, unsigned kind, std::uint64_t options) {
    const auto& home = kind == 3 || kind == 4 || (options & 1) != 0 ? large_ : small_;
    const auto place =
        home->allocate({++last_, kind, static_cast<std::uint32_t>(options), options >> 8, "fuzzed"}, nullptr).value();
    if (!place) return;
    all_[n] = {last_, home, *place};
    actor_.created(all_[n]);
  }

  living_actors living_;
  std::array<std::shared_ptr<detail::cell_block>, users> blocks_;
  std::shared_ptr<detail::arena> small_, large_;
  std::array<small_object, objects> all_;
  std::uint64_t last_ = 0;
  std::int64_t now_ = 0;
  sync_actor actor_{service_host{living_, [](std::vector<std::byte>) {}, [](std::uint32_t) { return past_process(); }}};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    static_cast<void>(decode<request>(std::as_bytes(std::span(data, size))));
  } catch (const failure&) {}
  session s;
  for (; size >= 11; data += 11, size -= 11) {
    std::uint64_t value = 0;
    std::memcpy(&value, data + 3, sizeof value);
    s.run(data[0], data[1], data[2], value);
  }
  return 0;
}

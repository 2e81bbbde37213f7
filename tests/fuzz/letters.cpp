// SPDX-License-Identifier: BSD-3-Clause
// libFuzzer target: any bytes as letters in an actor's mailbox. The actor refuses or buries what makes no sense, and goes on; what it asked
// is settled once.
//
// Input: letters, one after another. Byte 0 of each: its kind, and above bit 3 the length of what follows its head; byte 1 chooses key,
// ticket, lane and deadline. Kind 7: no head, the bytes are all there is.
#include <cloister/cloister.hpp>
#include <cloister/detail/actor_core.hpp>

#include <cstdlib>
#include <map>
#include <string>
#include <variant>
#include <vector>

using namespace cloister;
using namespace cloister::detail;

namespace {

struct numbers {
  int a, b;
};
struct rich {
  std::string text;
  std::vector<std::variant<int, std::string>> parts;
  std::map<std::string, int> counts;
};
struct with_handles {
  queue<int> of_ints;
  std::vector<actor<struct fuzzed>> actors;
};
struct asks_itself {
  int how;
};
struct the_end {};

unsigned asked = 0, settled = 0;

struct fuzzed {
  int on(numbers f) { return f.a ^ f.b; }
  rich on(const rich& r) { return r; }
  void on(const with_handles&) {}
  reply<int> on(self& me, asks_itself a) {
    ++asked;
    if (a.how % 2 == 0) {
      me.ask(me.handle(*this), numbers{a.how, 1}, a.how % 3 == 0 ? deadline::never() : deadline(std::chrono::milliseconds(1)))
          .then([](const result<int>&) { ++settled; });
      co_return 1;
    }
    const auto got = co_await me.ask(me.handle(*this), numbers{a.how, 2});
    ++settled;
    co_return got ? *got : -1;
  }
  void on(self& me, the_end) { me.stop(); }
};

std::optional<node> here;

void put_raw(attachment& mailbox, std::span<const std::byte> bytes) {
  if (!mailbox.queue().put(self_actor(), bytes, deadline::passed())) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  log_to_stderr(log_level::off);
  here.emplace(*argc, *argv);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto mailbox = make_mailbox("fuzzed", interface_of<fuzzed>(), false);
  static const auto lane = make_queue({.name = "lane"}, lane_fingerprint, 0);
  static const auto ends = pipe<int>(*here);
  static const std::uint64_t keys[] = {enter_handler<fuzzed, numbers>(), enter_handler<fuzzed, rich>(),
                                       enter_handler<fuzzed, with_handles>(), enter_handler<fuzzed, asks_itself>(), 0};
  const std::uint64_t lanes[] = {0, object_of(lane).id(), object_of(mailbox).id(), object_of(ends.first.handle()).id(), 77};
  asked = settled = 0;

  std::span<const std::byte> in = std::as_bytes(std::span(data, size));
  std::uint64_t letters = 0;
  for (; in.size() >= 2 && letters < 50; ++letters) {
    const auto kind = static_cast<unsigned>(in[0]), choice = static_cast<unsigned>(in[1]);
    const auto rest = in.subspan(2, std::min<std::size_t>(kind / 8 * 4, in.size() - 2));
    in = in.subspan(2 + rest.size());
    encoder out;
    if (kind % 8 != 7)
      write_head(out, {static_cast<letter_kind>(kind % 8), keys[choice % 5], choice / 5 % 4, lanes[choice / 20 % 5],
                       choice % 7 == 0 ? 0 : deadline::never().at_ns()});
    std::vector<std::byte> bytes(out.bytes().begin(), out.bytes().end());
    bytes.insert(bytes.end(), rest.begin(), rest.end());
    put_raw(object_of(mailbox), bytes);
  }
  encoder last;
  write_head(last, {letter_kind::tell, enter_handler<fuzzed, the_end>(), 0, 0, 0});
  last.value(the_end{});
  {
    actor_core core(mailbox, *here, {"fuzzed", false}, handlers_of<fuzzed>());
    self me(core);
    fuzzed object;
    actor_instance<fuzzed> instance{object, me};
    put_raw(object_of(mailbox), last.bytes());
    core.run(&instance);
  }
  if (settled > asked) std::abort();
  while (!object_of(mailbox).queue().empty()) {
    taken left;
    if (object_of(mailbox).queue().take(self_actor(), left, deadline::passed(), "get")) left.deliver();
  }
  return 0;
}

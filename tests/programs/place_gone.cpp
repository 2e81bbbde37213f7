// SPDX-License-Identifier: BSD-3-Clause
// Synchronisation objects whose node has ended, used without a node and in a later one: prints what each call says.
#include <cloister/actors/actors.hpp>

#include <iostream>
#include <optional>
#include <string>

using namespace cloister;
using namespace std::chrono_literals;

namespace {

template <class Call>
void show(const std::string& what, Call call) {
  std::string said = "nothing";
  try {
    if constexpr (std::is_void_v<decltype(call())>) call();
    else if (const auto got = call(); !got) said = to_string(got.error().code());
  } catch (const failure& f) { said = to_string(f.code()); }
  std::cout << what << ' ' << said << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  std::optional<node> first(std::in_place, argc, argv);
  const mutex m{*first}, held{*first};
  const semaphore s{*first, 1};
  const condition c{*first, m};
  const event e{*first};
  const barrier b{*first, 1};
  held.lock();
  first.reset();
  const auto use = [&] {
    show("lock", [&] { return m.lock(20s); });
    show("lock of a held one", [&] { return held.lock(20s); });
    show("unlock", [&] { held.unlock(); });
    show("acquire", [&] { return s.acquire(20s); });
    show("release", [&] { s.release(); });
    show("condition wait", [&] { return c.wait(20s); });
    show("notify", [&] { c.notify(); });
    show("set", [&] { e.set(); });
    show("event wait", [&] { return e.wait(20s); });
    show("barrier wait", [&] { return b.wait(20s); });
    show("reset", [&] { b.reset(); });
  };
  use();
  const node second{argc, argv};
  use();
  const mutex later{second};
  const process p{second, [](mutex it) { it.lock(), it.unlock(); }, later};
  std::cout << (p.join(20s).value().success() && later.lock(20s) ? "a later one works\n" : "a later one does not work\n");
}

// SPDX-License-Identifier: BSD-3-Clause
// What becomes of a queue's messages when those who put and get them are killed on the way, as the queue's users see it. Each step of
// each operation, in each state of a queue, is gone through below the library's own processes: slots_crash.test.cpp.
#include "harness.hpp"

#include <cloister/cloister.hpp>

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

using namespace cloister;
using namespace std::literals;
using harness::here;

namespace {

using bytes = std::vector<std::byte>;

}  // namespace

TEST_CASE("promise 11: the message of a consumer killed in its get goes to another") {
  const auto method = GENERATE(start_method::forkserver, start_method::spawn, start_method::fork);
  for (unsigned step = 1; step <= fault_steps("get"); ++step) {
    INFO("step " << step);
    queue<std::string> q{*here};
    process p{*here,
              {.start = method},
              [](source<std::string> in, unsigned at) {
                inject_fault({.operation = "get", .step = at});
                static_cast<void>(in.get());
              },
              q,
              step};
    q.put("first");
    q.put("second");
    const bool killed = p.join().signal() == SIGKILL;
    if (step <= 5) REQUIRE(killed);
    // From step 5 on it was delivered to the dead one; step 9 comes before all, where it looked while the first was being written.
    if (killed && (step <= 4 || step == 9)) REQUIRE(q.get(20s).value() == "first");
    REQUIRE(q.get(20s).value() == "second");
    REQUIRE(q.empty());
  }
}

TEST_CASE("promise 11: a consumer killed while it waits takes no message and no wake-up along") {
  const auto method = GENERATE(start_method::forkserver, start_method::spawn, start_method::fork);
  for (unsigned step = 0; step <= fault_steps("wait"); ++step) {
    INFO("step " << step);
    queue<int> q{*here}, up{*here};
    process victim{*here,
                   {.start = method},
                   [](source<int> in, unsigned at) {
                     if (at > 0) inject_fault({.operation = "wait", .step = at});
                     in.get();
                   },
                   q,
                   step};
    const bool sleeps = step == 0 || step == 3;  // else it dies before it does
    if (sleeps) REQUIRE(harness::eventually([&] { return harness::asleep(victim.pid()); }));
    else REQUIRE(victim.join().signal() == SIGKILL);
    process other{*here, {.start = method}, [](source<int> in, sink<int> out) { out.put(in.get()); }, q, up};
    REQUIRE(harness::eventually([&] { return harness::asleep(other.pid()); }));
    if (step == 0) {
      victim.kill();
      REQUIRE(victim.join().signal() == SIGKILL);  // else it may still take the message
    }
    q.put(1);  // at step 3 the victim, which slept first, is woken by it, and dies
    REQUIRE(up.get(20s).value() == 1);
    REQUIRE(victim.join().signal() == SIGKILL);
    REQUIRE(other.join().success());
  }
}

TEST_CASE("promise 12: nobody sees a part of a message whose sender was killed on the way, and the next one goes on") {
  const auto method = GENERATE(start_method::forkserver, start_method::spawn, start_method::fork);
  const std::string operation = GENERATE("put", "chunk");
  for (unsigned step = 1; step <= fault_steps(operation); ++step) {
    INFO(operation << " step " << step);
    queue<bytes> q{*here, {.max_items = 1}};  // so that there is no room beside what the dead one claimed
    process p{*here,
              {.start = method},
              [](sink<bytes> out, std::string in, unsigned at) {
                inject_fault({.operation = in, .step = at});
                out.put(bytes(5'000'000, std::byte{1}));
              },
              q,
              operation,
              step};
    const bool killed = p.join().signal() == SIGKILL;
    if (!killed || (operation == "put" && step >= 6)) {  // it was there before the end
      const auto large = q.try_get().value();
      REQUIRE(large.size() == 5'000'000);
      REQUIRE(std::all_of(large.begin(), large.end(), [](auto b) { return b == std::byte{1}; }));
    }
    REQUIRE(q.try_get() == errc::would_block);
    process next{*here, {.start = method}, [](sink<bytes> out) { out.put(bytes(10, std::byte{2})); }, q};
    REQUIRE(next.join(20s).value().success());
    REQUIRE(q.try_get().value() == bytes(10, std::byte{2}));
    REQUIRE(q.empty());
  }
}

// SPDX-License-Identifier: BSD-3-Clause
// CAF behaviours in processes of their own.
#include "process_support.hpp"

#include <cloister/caf.hpp>
#include <cloister/supervisor.hpp>

#include <csignal>

using namespace cloister;
using namespace support;

namespace {

caf::behavior doubler(caf::event_based_actor* self, caf::actor out) {
  return {[=](int n) { return self->delegate(out, 2 * n); }};
}

using typed_doubler = caf::typed_actor<caf::replies_to<int>::with<int>>;
typed_doubler::behavior_type doubles(typed_doubler::pointer, caf::actor out) {
  return {[=](int n) {
    caf::anon_send(out, 2 * n);
    return 2 * n;
  }};
}

void run_doubler(source<int> in, sink<int> out) {
  caf_system system;
  const auto to = system.spawn_sink(out);
  system.feed(in, system->spawn(doubler, to), 4);
}

void run_typed(source<int> in, sink<int> out) {
  caf_system system;
  const auto to = system.spawn_sink(out);
  system.feed(in, system->spawn(doubles, to));
}

/// Fails at 13.
caf::behavior choosy(caf::event_based_actor*) {
  return {[](int n) -> caf::result<int> {
    if (n == 13) return caf::sec::runtime_error;
    return n;
  }};
}

}  // namespace

TEST_CASE("a CAF behaviour, dynamically or statically typed, runs in a process of its own between two queues") {
  EACH_METHOD(how);
  const auto body = GENERATE(&run_doubler, &run_typed);
  const queue<int> in{here()}, out{here()};
  const process p{here(), by(how), body, in, out};
  for (int n = 1; n <= 100; ++n) in.put(n);
  for (int n = 1; n <= 100; ++n) CHECK(out.get(20s).value() == 2 * n);
  in.close();
  CHECK(p.join().text() == "exit 0");
}

TEST_CASE("an actor whose results nobody takes stops the queue's producer") {
  const queue<int> in{here(), {.max_items = 10}};
  const queue<int> out{here(), {.max_items = 5}};
  const process p{here(), run_doubler, in, out};
  int put = 0;
  while (in.put(put, 200ms)) ++put;
  CHECK(put <= 10 + 4 + 5 + 1);  // the queues, and what the actor was sent
  for (int n = 0; n < put; ++n) CHECK(out.get(20s).value() == 2 * n);
  in.close();
  CHECK(p.join().success());
}

TEST_CASE("what an actor had not answered comes back when its process is killed") {
  const queue<int> in{here()};
  const queue<int> out{here(), {.max_items = 1}};
  const supervisor s{here(), {}, supervised({.id = "a", .restart = transient}, run_doubler, in, out)};
  for (int n = 1; n <= 20; ++n) in.put(n);
  CHECK(out.get(20s).value() == 2);
  ::kill(s.which_child("a").process.value().pid, SIGKILL);
  std::vector<bool> seen(21);
  seen[1] = true;
  for (int left = 19; left > 0;) {
    const auto n = static_cast<std::size_t>(out.get(20s).value() / 2);
    left -= seen[n] ? 0 : 1;
    seen[n] = true;
  }
  in.close();
}

TEST_CASE("an actor that answers with an error ends the feeding; what it had not handled goes back") {
  const queue<int> in{here()};
  for (const int n : {1, 13, 2}) in.put(n);
  const process p{here(),
                  [](source<int> from) {
                    caf_system system;
                    system.feed(from, system->spawn(choosy), 1);
                  },
                  in};
  CHECK(p.join().exception_text().find("could not handle a message") != std::string::npos);
  CHECK(in.get(20s).value() == 13);
  CHECK(in.get(20s).value() == 2);
}

namespace {

/// Answers when it has two.
struct in_pairs : caf::event_based_actor {
  using caf::event_based_actor::event_based_actor;
  caf::behavior make_behavior() override {
    return {[this](int) -> caf::result<int> {
      auto promise = make_response_promise<int>();
      waiting.push_back(promise);
      if (waiting.size() == 2) {
        for (auto& p : waiting) p.deliver(0);
        waiting.clear();
      }
      return promise;
    }};
  }
  std::vector<caf::typed_response_promise<int>> waiting;
};

}  // namespace

TEST_CASE("what cannot be put is not acknowledged") {
  const queue<int> in{here()}, out{here()};
  for (const int n : {1, 2, 3}) in.put(n);
  out.close();
  const process p{here(), run_doubler, in, out};
  CHECK(p.join(20s).value().exception_text().find("could not handle a message") != std::string::npos);
  std::vector<int> back;
  while (const auto n = in.try_get()) back.push_back(*n);
  CHECK(back == std::vector<int>{1, 2, 3});
}

TEST_CASE("feeding goes on while answers are waited for, and ends when the process is asked to stop") {
  const queue<int> in{here()};
  const process p{here(),
                  [](source<int> from) {
                    caf_system system;
                    system.feed(from, system->spawn<in_pairs>(), 4);
                  },
                  in};
  in.put(1);
  CHECK(harness::eventually([&] { return in.empty(); }));
  in.put(2);  // with this one there are two
  CHECK(in.join(20s));
  in.put(3);
  CHECK(harness::eventually([&] { return in.empty(); }));
  p.terminate();
  CHECK(p.join(20s).value().signal() == SIGTERM);
  CHECK(in.get(20s).value() == 3);
  CHECK(in.empty());
}

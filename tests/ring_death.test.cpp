// SPDX-License-Identifier: BSD-3-Clause
// Whose death or stop, at which step, in which state of a pipe, shows the other end what.
//
// The writer's table: nothing before the commit (pipe_put 5), the whole message after it, and whoever owns the end next
// goes on. The reader's table: the message is there for the next owner before the delivery (pipe_get 4), gone after it.
#include "ring_messages.hpp"

#include <csignal>
#include <optional>

using namespace cloister;
using namespace cloister::detail;
using namespace ring_messages;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

struct step {
  const char* operation;
  unsigned number;
  bool done;  // put: the message is committed; get: it is delivered
};

// How a pipe stands when the victim begins. Messages 0 to n-1 lie in it; the victim puts message n, or gets message 0.
enum class state { empty, one, full, wrapped, large, growing };
const char* name_of(state s) {
  static constexpr std::array names{"empty", "one", "full", "wrapped", "large", "growing"};
  return names[static_cast<std::size_t>(s)];
}

std::size_t size_of(state s, std::uint64_t number) {
  if (s == state::large || (s == state::growing && number > 0))
    return mib + 3 * mib / 8 + number;  // above the 4 MiB level, but two fit there
  return s == state::wrapped ? 4000 : 100;
}

std::uint64_t fill(ring& r, state s) {
  switch (s) {
    case state::empty: return 0;
    case state::large:
    case state::growing:
    case state::one: REQUIRE(put(r, 0, 0, size_of(s, 0))); return 1;
    case state::wrapped:  // the next record begins 352 bytes before the end of the 16 KiB
      for (int i = 0; i < 4; ++i) {
        REQUIRE(put(r, 0, 0, 4000));
        if (i < 3) REQUIRE(get(r, 0));
      }
      return 1;
    case state::full: break;
  }
  std::uint64_t n = 0;
  while (r.unread(0) + record_bytes(100) <= ring::smallest) REQUIRE(put(r, 0, n++, 100));
  return n;
}

void read_and_check(ring& r, state s, std::uint64_t from, std::uint64_t to) {
  for (auto i = from; i < to; ++i) {
    INFO("message " << i);
    REQUIRE(arrives(r, 0, message(i, size_of(s, i))));
  }
}

// The victim with its fault, as end A (writer) or B (reader), until it is dead or stopped.
class victim {
 public:
  template <class Body>
  victim(step s, fault_action action, Body body)
      : action_(action), child_([&] {
          inject_fault({s.operation, s.number, action});
          body();
        }) {}
  void wait() {
    if (action_ == fault_action::stop) REQUIRE(child_.wait_stopped());
    else REQUIRE(child_.wait() == exit_status::signaled(SIGKILL));
  }
  void sleeps() {  // or is dead already: the end of a first, short wait is a step too
    REQUIRE(harness::eventually([&] { return harness::asleep(child_.pid()) || harness::process_state(child_.pid()) == 'Z'; }));
  }
  void go_on() {
    while (child_.wait_stopped()) child_.signal(SIGCONT);
    CHECK(child_.wait() == exit_status::exited(0));
  }

 private:
  fault_action action_;
  harness::child child_;
};

}  // namespace

TEST_CASE("a writer that is killed at any step has put its message entirely or not at all", "[deadline:120]") {
  const auto s = GENERATE(state::empty, state::one, state::full, state::wrapped, state::large, state::growing);
  const auto at = GENERATE(step{"pipe_put", 1, false}, step{"pipe_put", 2, false}, step{"pipe_put", 3, false},
                           step{"pipe_put", 4, false}, step{"pipe_put", 5, true}, step{"notify", 1, true},
                           step{"pipe_grow", 1, false}, step{"pipe_grow", 2, false}, step{"pipe_grow", 3, false});
  const bool grows = s == state::full || s == state::growing || (s == state::large && at.number < 3);
  if (std::string_view(at.operation) == "pipe_grow" && !grows) return;
  INFO(name_of(s) << ", " << at.operation << " " << at.number);

  const auto pipe = make();
  const auto n = fill(*pipe, s);
  const auto reader = attach(*pipe);
  const auto body = message(n, size_of(s, n));
  victim v(at, fault_action::kill, [&] {
    pipe->take_over(0);
    static_cast<void>(pipe->put(0, body, deadline::passed()));
  });
  v.wait();
  CHECK(reader->unread(0) >= n * record_bytes(100));
  pipe->set_end_state(0, end_state::dead, exit_status::signaled(SIGKILL));
  read_and_check(*reader, s, 0, n + (at.done ? 1 : 0));
  CHECK(get(*reader, 0) == errc::peer_down);

  // Its successor goes on: nothing lost, nothing twice; large messages find room and their memory goes back.
  pipe->set_end_state(0, end_state::open);
  const auto next = attach(*pipe);
  next->take_over(0);
  for (std::uint64_t i = 100; i < 104; ++i) {
    REQUIRE(put(*next, 0, i, size_of(s, i)));
    REQUIRE(put(*next, 0, i, 10));
    REQUIRE(arrives(*reader, 0, message(i, size_of(s, i))));
    REQUIRE(arrives(*reader, 0, message(i, 10)));
  }
  CHECK(reader->poll(0, 50ms).value() == false);
  CHECK(bytes_held(*pipe) <= 64 * 1024);
}

TEST_CASE("a writer that is killed half-way through a wait for room has put nothing") {
  const auto at = GENERATE(step{"wait", 1, false}, step{"wait", 2, false}, step{"wait", 3, false});
  INFO(at.number);
  const auto pipe = make(16 * 1024);
  const auto n = fill(*pipe, state::full);
  spin_budget::set_spinning(false);
  victim v(at, fault_action::kill, [&] {
    pipe->take_over(0);
    static_cast<void>(put(*pipe, 0, n, 100, deadline::never()));
  });
  at.number < 3 ? v.wait() : v.sleeps();
  REQUIRE(arrives(*pipe, 0, message(0, 100)));
  if (at.number == 3) v.wait();  // killed by what was to wake it
  pipe->set_end_state(0, end_state::dead, {});
  read_and_check(*pipe, state::full, 1, n);
  CHECK(get(*pipe, 0) == errc::peer_down);
  spin_budget::set_spinning(true);
}

TEST_CASE("a writer that is stopped at any step holds up only its own message") {
  const auto s = GENERATE(state::empty, state::full, state::growing);
  const auto at = GENERATE(step{"pipe_put", 1, false}, step{"pipe_put", 3, false}, step{"pipe_put", 4, false},
                           step{"pipe_put", 5, true}, step{"pipe_grow", 1, false}, step{"pipe_grow", 3, false});
  if (std::string_view(at.operation) == "pipe_grow" && s == state::empty) return;
  INFO(name_of(s) << ", " << at.operation << " " << at.number);
  const auto pipe = make();
  const auto n = fill(*pipe, s);
  victim v(at, fault_action::stop, [&] {
    pipe->take_over(0);
    return put(*pipe, 0, n, size_of(s, n)).has_value();
  });
  v.wait();
  read_and_check(*pipe, s, 0, n + (at.done ? 1 : 0));
  CHECK(get(*pipe, 0, 5ms) == errc::timed_out);
  REQUIRE(put(*pipe, 1, 9, 100));  // the other direction does not notice
  v.go_on();
  if (!at.done) CHECK(arrives(*pipe, 0, message(n, size_of(s, n))));
}

TEST_CASE("a reader that is killed at any step was handed its message or has left it to the next reader", "[deadline:120]") {
  const auto s = GENERATE(state::one, state::full, state::wrapped, state::large);
  const auto at =
      GENERATE(step{"pipe_get", 1, false}, step{"pipe_get", 2, false}, step{"pipe_get", 3, false}, step{"pipe_get", 4, true},
               step{"notify", 1, true}, step{"pipe_trim", 1, true}, step{"pipe_trim", 2, true}, step{"pipe_trim", 3, true});
  if (std::string_view(at.operation) == "pipe_trim" && s != state::large) return;
  INFO(name_of(s) << ", " << at.operation << " " << at.number);
  const auto pipe = make();
  const auto n = fill(*pipe, s);
  const auto writer = attach(*pipe);
  victim v(at, fault_action::kill, [&] {
    pipe->take_over(1);
    static_cast<void>(get(*pipe, 0));
  });
  v.wait();
  pipe->set_end_state(1, end_state::dead, exit_status::signaled(SIGKILL));
  CHECK(put(*writer, 0, n, 10) == errc::peer_down);
  pipe->set_end_state(1, end_state::open);
  const auto next = attach(*pipe);
  next->take_over(1);
  for (std::uint64_t i = n; i < n + 3; ++i) CHECK(put(*writer, 0, i, size_of(s, i)).value() > 0);
  read_and_check(*next, s, at.done ? 1 : 0, n + 3);
  CHECK(next->poll(0, 50ms).value() == false);
  CHECK(bytes_held(*pipe) <= 64 * 1024);
}

TEST_CASE("a reader that is killed while it sleeps or wakes leaves the message to the next reader") {
  const auto at = GENERATE(step{"wait", 1, false}, step{"wait", 2, false}, step{"wait", 3, false});
  spin_budget::set_spinning(false);
  const auto pipe = make();
  victim v(at, fault_action::kill, [&] { static_cast<void>(get(*pipe, 0, deadline::never())); });
  at.number < 3 ? v.wait() : v.sleeps();
  REQUIRE(put(*pipe, 0, 1, 100));
  if (at.number == 3) v.wait();
  pipe->take_over(1);
  CHECK(arrives(*pipe, 0, message(1, 100)));
  spin_budget::set_spinning(true);
}

TEST_CASE("a reader that is stopped at any step holds up the writer only when the pipe is full") {
  const auto s = GENERATE(state::one, state::large);
  const auto at = GENERATE(step{"pipe_get", 2, false}, step{"pipe_get", 3, false}, step{"pipe_get", 4, true},
                           step{"pipe_trim", 1, true}, step{"pipe_trim", 2, true});
  if (std::string_view(at.operation) == "pipe_trim" && s != state::large) return;
  INFO(name_of(s) << ", " << at.operation << " " << at.number);
  const auto pipe = make(GENERATE(64, 256) * mib);  // the level that is given back may be the last one
  const auto n = fill(*pipe, s);
  victim v(at, fault_action::stop, [&] {
    pipe->take_over(1);
    read_and_check(*pipe, s, 0, n + 2);
  });
  v.wait();
  for (std::uint64_t i = n; i < n + 2; ++i) REQUIRE(put(*pipe, 0, i, size_of(s, i), 10s));
  v.go_on();
}

TEST_CASE("promise 12: of a 100 MB message whose writer is killed on the way nobody sees a part", "[deadline:120]") {
  constexpr std::size_t size = 100'000'000;
  const auto pipe = make();
  const auto body = message(1, size);
  REQUIRE(put(*pipe, 0, 0, 100));
  const bool by_fault = GENERATE(true, false);
  if (by_fault) {
    victim v({"pipe_put", 3, false}, fault_action::kill, [&] { static_cast<void>(pipe->put(0, body, deadline::never())); });
    v.wait();
  } else {
    for (int i = 0; i < 20; ++i) {
      harness::child writer([&] {
        pipe->take_over(0);
        static_cast<void>(pipe->put(0, body, deadline::never()));
        ::pause();
      });
      std::this_thread::sleep_for(i * 3ms);  // somewhere in it, or after it
      writer.kill();
      pipe->take_over(0);
      if (pipe->unread(0) > size) break;  // this one got it done
    }
  }
  pipe->set_end_state(0, end_state::dead, exit_status::signaled(SIGKILL));
  CHECK(arrives(*pipe, 0, message(0, 100)));
  auto r = get(*pipe, 0);
  if (r) {
    CHECK_FALSE(by_fault);
    CHECK(*r == body);
    r = get(*pipe, 0);
  }
  CHECK(r == errc::peer_down);
}

TEST_CASE("promise 37: the death of one end is heard at the other whatever descriptors others hold") {
  spin_budget::set_spinning(GENERATE(false, true));
  const auto pipe = make();
  harness::child bystander([] { ::pause(); });  // has inherited the mapping and the descriptor
  harness::child reader([&] { return get(*pipe, 0, deadline::never()) == errc::peer_down; });
  harness::child writer([&] {
    while (put(*pipe, 1, 1, 100, deadline::never()))  // nobody reads: asleep in the end
      ;
    return true;
  });
  REQUIRE(harness::eventually([&] { return harness::asleep(reader.pid()); }));
  pipe->set_end_state(0, end_state::dead, exit_status::signaled(SIGKILL));
  CHECK(reader.wait() == exit_status::exited(0));
  CHECK(writer.wait() == exit_status::exited(0));
  spin_budget::set_spinning(true);
}

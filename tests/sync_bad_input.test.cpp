// SPDX-License-Identifier: BSD-3-Clause
// Synchronisation used as it must not be: an error, never a hang.
#include "sync_support.hpp"

#include <cloister/actors/actors.hpp>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <random>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

using namespace cloister;
using namespace support;

namespace {

constexpr std::uint16_t nobody = 60'000;  // no process of these tests has that name

}  // namespace

TEST_CASE("an owner word that names nobody is broken for all who wait, and for nobody else") {
  const open<mutex> m{here()};
  const mutex other{here()};
  m.body<internal::lock_body>().word = internal::lock_word().with_owner(nobody, 1).raw;
  CHECK_FALSE(m.try_lock());
  const queue<std::string> out{here()};
  std::vector<process> crew;
  for (int i = 0; i < 3; ++i)
    crew.emplace_back(
        here(), [](mutex it, sink<std::string> say) { say.put(std::string(to_string(it.lock(20s).error().code()))); }, m.handle(),
        out);
  for (std::size_t i = 0; i < crew.size(); ++i) CHECK(out.get(20s).value() == "broken");
  CHECK(m.lock(20s) == errc::broken);
  CHECK(other.lock(20s));
  other.unlock();
}

TEST_CASE("an owner word that names a process which never locked it: deadlines hold, and it passes on when that one ends") {
  const open<mutex> m{here()};
  const queue<int> go{here()};
  process p{here(),
            [](mutex it, source<int> in) {
              it.try_lock();  // so that it has it: who has nothing to do with a lock is no concern of the lock's
              in.get();
            },
            m.handle(), go};
  REQUIRE(harness::eventually([&] { return m.is_locked(); }, 20s));
  auto& word = m.body<internal::lock_body>().word;
  const internal::lock_word now{word.load()};
  word = now.with_owner(now.owner(), 77).raw;
  CHECK(m.lock(20ms) == errc::timed_out);
  p.kill();
  REQUIRE(m.lock(20s));
  CHECK(m.owner_died());
  m.unlock();
}

// Where nothing can be told from the words, a deadline holds all the same, and other objects do not suffer.
TEST_CASE("whatever is written over their memory, calls come back by their deadline, and the actor goes on", "[deadline:120]") {
  std::mt19937_64 random(GENERATE(1, 2, 3, 4, 5, 6));
  const auto scribble = [&](void* at, std::size_t bytes) {
    auto* to = static_cast<unsigned char*>(at);
    for (std::size_t i = 0; i < bytes; ++i)
      if (random() % 4 != 0) to[i] = static_cast<unsigned char>(random());
  };
  const mutex untouched{here()};
  const open<mutex> m{here()};
  const open<semaphore> s{here(), 2};
  const open<bounded_semaphore> bounded{here(), 2};
  const open<event> e{here()};
  const open<barrier> b{here(), 2};
  const mutex with{here()};
  const open<condition> c{here(), with};
  const auto calls = [](mutex a, semaphore t, bounded_semaphore u, event v, barrier w, condition x) {
    const auto come_back = [](const auto& call) {
      try {
        call();
      } catch (const failure&) {}  // whatever it says
    };
    for (int i = 0; i < 3; ++i) {
      come_back([&] {
        if (a.lock(5ms)) a.unlock();
      });
      come_back([&] {
        if (t.acquire(5ms)) t.release();
      });
      come_back([&] { t.release(3); });
      come_back([&] {
        if (u.acquire(5ms)) u.release();
      });
      come_back([&] { u.release(3); });
      come_back([&] { static_cast<void>(v.wait(5ms)); });
      come_back([&] { v.set(), v.clear(); });
      come_back([&] { static_cast<void>(w.wait(5ms)); });
      come_back([&] { w.reset(); });
      come_back([&] {
        const std::scoped_lock g(x);
        static_cast<void>(x.wait(5ms));
      });
      come_back([&] { x.notify_all(); });
    }
  };
  for (int round = 0; round < 20 / harness::slowdown + 1; ++round) {
    scribble(&m.body<internal::lock_body>(), sizeof(internal::lock_body));
    scribble(&s.body<internal::semaphore_body>(), sizeof(internal::semaphore_body));
    scribble(&bounded.body<internal::semaphore_body>(), sizeof(internal::semaphore_body));
    scribble(&e.body<internal::event_body>(), sizeof(internal::event_body));
    scribble(&b.body<internal::barrier_body>(), sizeof(internal::barrier_body));
    scribble(&c.body<internal::condition_body>(), sizeof(internal::condition_body));
    process p{here(), calls, m.handle(), s.handle(), bounded.handle(), e.handle(), b.handle(), c.handle()};
    calls(m, s, bounded, e, b, c);
    CHECK(p.join(20s).value().success());
    CHECK(untouched.lock(20s));
    untouched.unlock();
  }
}

TEST_CASE("a head that says what cannot be is of no use to others, and no harm to the first process") {
  const queue<int> out{here()};
  const mutex untouched{here()};
  // Its objects are new when the first process reads their heads, or are known to it already.
  for (const bool known : {false, true}) {
    INFO("known: " << known);
    process wild{here(),
                 [](const node& inner, bool first_used, sink<int> say) {
                   const open<barrier> b{inner, 3};
                   const open<mutex> m{inner};
                   if (first_used) {
                     static_cast<void>(b.wait(1ms));
                     b.reset();
                     m.lock();
                     m.unlock();
                   }
                   b.head().options = 0;
                   m.head().kind = static_cast<std::uint32_t>(detail::sync_kind::semaphore);
                   int came_back = 0;
                   const auto count = [&](const auto& call) {
                     try {
                       call();
                     } catch (const failure&) {}
                     ++came_back;
                   };
                   count([&] { static_cast<void>(b.wait(20ms)); });
                   count([&] { b.reset(); });
                   std::thread([&] { m.lock(); }).join();
                   count([&] { static_cast<void>(m.lock(20ms)); });
                   say.put(came_back);
                 },
                 known, out};
    CHECK(out.get(20s).value() == 3);
    CHECK(wild.join(20s).has_value());
    CHECK(untouched.lock(20s));
    untouched.unlock();
  }
}

TEST_CASE("a process that changes the number of its arena passes it off as nobody else's") {
  const mutex honest{here()};
  const queue<mutex> in{here()};
  process wild{
      here(),
      [](node& mine, mutex other, sink<mutex> out) {
        // The first object of an arena is behind its header.
        const auto header_of = [](const open<mutex>& m) {
          return reinterpret_cast<detail::object_header*>(reinterpret_cast<std::byte*>(&m.head()) - detail::arena::first_place);
        };
        const open<mutex> own{mine}, theirs(other);
        header_of(own)->id = header_of(theirs)->id;
        out.put(own.handle());
        sleep_long();
      },
      honest, in};
  const auto got = in.get(20s).value();
  CHECK(got.lock(20s));
  CHECK(honest.try_lock());
  honest.unlock();
  got.unlock();
  wild.kill();
}

TEST_CASE("who is led astray by what others wrote into its arena has lost an object, and not its life") {
  const queue<mutex> in{here()};
  const queue<int> go{here()};
  process maker{here(),
                [](node& mine, sink<mutex> out, source<int> next) {
                  out.put(mutex{mine});
                  std::vector<mutex> all;  // none of them leaves its place again
                  for (int i = 0; i < 5; ++i) {
                    next.get();
                    out.put(all.emplace_back(mine));
                  }
                },
                in, go};
  open<mutex>(in.get(20s).value()).head().object = 0;
  int lost = 0;
  for (int i = 0; i < 5; ++i) {
    go.put(i);
    if (const auto made = in.get(1s); !made || !made->try_lock()) ++lost;
  }
  CHECK(maker.join(20s).value().success());
  CHECK(lost <= 1);
}

TEST_CASE("a first process without a descriptor left is an error for who would wait, and nobody's death") {
  const mutex m{here()};
  m.lock();
  const queue<int> up{here()}, go{here()};
  const queue<std::string> out{here()};
  process p{here(),
            [](mutex it, sink<int> ready, source<int> in, sink<std::string> say) {
              ready.put(1);
              in.get();
              const auto got = it.lock(20s);
              say.put(got ? "locked" : std::string(to_string(got.error().code())));
              in.get();
              say.put(it.lock(20s) ? "locked" : "not locked");
              it.unlock();
            },
            m,
            up,
            go,
            out};
  REQUIRE(up.get(20s));
  {
    std::vector<owned_fd> all;
    for (int fd; (fd = ::dup(2)) >= 0;) all.emplace_back(fd);
    go.put(1);
    CHECK(out.get(20s).value() == "no_descriptors");
  }
  m.unlock();
  go.put(1);
  CHECK(out.get(20s).value() == "locked");
  CHECK(p.join(20s).value().success());
}

TEST_CASE("objects of a node that has ended say gone, without a node and in a later one") {
  const auto file = std::filesystem::path(program::path()).parent_path() / "place_gone";
  program run({}, {.executable = file.string()});
  for (int round = 0; round < 2; ++round)
    for (const auto* call : {"lock", "lock of a held one", "unlock", "acquire", "release", "condition wait", "notify", "set",
                             "event wait", "barrier wait", "reset"})
      CHECK(run.line() == std::string(call) + " gone");
  CHECK(run.line() == "a later one works");
  CHECK(run.wait().success());
}

TEST_CASE("in a process that the program forks by itself they say not_attached") {
  const mutex m{here()}, held{here()};
  const semaphore s{here(), 1};
  const condition c{here(), held};
  const event e{here()};
  const barrier b{here(), 1};
  const std::scoped_lock mine(held);
  const auto exit = harness::forked([&] {
    const auto refused = [](const auto& call) {
      try {
        return call() == errc::not_attached;
      } catch (const failure& f) { return f.code() == errc::not_attached; }
    };
    const auto thrown = [](const auto& call) {
      try {
        call();
      } catch (const failure& f) { return f.code() == errc::not_attached; }
      return false;
    };
    return refused([&] { return m.lock(20s); }) && refused([&] { return held.lock(20s); }) && thrown([&] { held.unlock(); }) &&
           refused([&] { return s.acquire(20s); }) && thrown([&] { s.release(); }) && refused([&] { return c.wait(20s); }) &&
           thrown([&] { c.notify(); }) && thrown([&] { e.set(); }) && refused([&] { return e.wait(20s); }) &&
           refused([&] { return b.wait(20s); }) && thrown([&] { b.reset(); }) && thrown([&] { b.abort(); });
  });
  CHECK(exit.success());
  CHECK(held.is_mine());
}

TEST_CASE(
    "the copy of a process that has a lock and a token, which the program forked by itself, leaves both as they are when it ends") {
  const queue<int> up{here()}, go{here()};
  const mutex m{here()};
  const semaphore s{here(), 1};
  process p{here(),
            [](mutex it, semaphore tokens, sink<int> ready, source<int> in) {
              it.lock();
              tokens.acquire();
              const pid_t copy = ::fork();
              if (copy == 0) return;  // its handles are destroyed, and say nothing
              ready.put(1);
              in.get();
              it.unlock();
              tokens.release();
              const pid_t other = ::fork();
              if (other == 0) return;
              int status = 0;
              ::waitpid(copy, &status, 0);
              ::waitpid(other, &status, 0);
              ready.put(2);
              in.get();
            },
            m,
            s,
            up,
            go};
  REQUIRE(up.get(20s).value() == 1);
  CHECK_FALSE(m.try_lock());
  CHECK_FALSE(s.try_acquire());
  go.put(1);
  REQUIRE(up.get(20s).value() == 2);
  REQUIRE(m.try_lock());
  CHECK_FALSE(m.owner_died());
  CHECK(s.value() == 1);
  m.unlock();
  go.put(1);
}

TEST_CASE("a process forked while other threads make, find and use objects makes and uses some itself") {
  std::atomic<bool> over{false};
  std::vector<std::thread> makers(2);
  for (auto& t : makers)
    t = std::thread([&] {
      while (!over) {
        const mutex made{here()};
        const std::scoped_lock mine(made);
        semaphore(here(), 1).acquire();
        std::thread([&] { static_cast<void>(made.try_lock()); }).join();
      }
    });
  for (int i = 0; i < 40; ++i) {
    process p{here(), by(start_method::fork), [](node& mine) {
                mutex{mine}.lock();
                semaphore(mine, 1).acquire();
                static_cast<void>(event(mine).wait(1ms));
              }};
    const auto end = p.join(20s);
    CHECK((end && end->success()));
    if (!end) p.kill();
  }
  over = true;
  for (auto& t : makers) t.join();
}

TEST_CASE("deadlines that are negative have passed") {
  const mutex m{here()}, with{here()};
  const condition c{here(), with};
  std::thread([&] { m.lock(); }).join();  // that thread is gone, the process is not: it stays locked
  CHECK(m.lock(-1s) == errc::timed_out);
  CHECK_FALSE(m.try_lock_for(-1h));
  CHECK(semaphore(here(), 0).acquire(-1s) == errc::timed_out);
  CHECK(event(here()).wait(-1s) == errc::timed_out);
  CHECK(barrier(here(), 2).wait(-1s) == errc::timed_out);
  const std::scoped_lock g(c);
  CHECK(c.wait(-1s) == errc::timed_out);
}

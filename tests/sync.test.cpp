// SPDX-License-Identifier: BSD-3-Clause
// What all kinds of synchronisation have in common.
#include "process_support.hpp"

#include <cloister/actors/actors.hpp>

#include <csignal>
#include <mutex>

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace cloister;
using namespace support;

TEST_CASE("what is free is had without a system call") {
  if (harness::sanitized) return;  // which makes calls of its own
  const mutex m{here()};
  const recursive_mutex r{here()};
  const semaphore s{here(), 2};
  const event e{here()};
  process p{here(),
            [](mutex a, recursive_mutex b, semaphore c, event d) {
              const auto all = [&] {
                const std::scoped_lock g(a, b, c);
                const std::scoped_lock again(b);
                d.set();
                d.wait();
                d.clear();
                static_cast<void>(d.is_set());
              };
              all();
              // From here on any call but read, write, and the thread's end is its death.
              if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) ::_exit(7);
              for (int i = 0; i < 1000; ++i) all();
              ::syscall(SYS_exit, 5);
            },
            m,
            r,
            s,
            e};
  CHECK(p.join(20s).value() == exit_status::exited(5));
}

TEST_CASE("deadlines hold although the first process is stopped") {
  const mutex m{here()}, with{here()};
  const condition c{here(), with};
  const semaphore s{here(), 0};
  const event e{here()};
  const barrier b{here(), 2}, b2{here(), 2};
  m.lock();
  const queue<std::string> out{here()};
  process p{here(),
            [](mutex a, condition x, semaphore t, event v, barrier w, barrier w2, pid_t first, sink<std::string> say) {
              std::string said;
              const auto note = [&](const auto& r) { said += r ? "! " : std::string(to_string(r.error().code())) + " "; };
              ::kill(first, SIGSTOP);
              {
                const struct going_on {
                  pid_t who;
                  ~going_on() { ::kill(who, SIGCONT); }
                } at_the_end{first};
                note(a.lock(20ms));
                note(t.acquire(20ms));
                note(v.wait(20ms));
                note(w.wait(20ms));
                note(w2.wait(deadline::passed()));
                const std::scoped_lock g(x);
                note(x.wait(20ms));
                for (int i = 0; i < 20; ++i) static_cast<void>(a.lock(1ms));  // what was asked before is still unread
                note(a.lock(20ms));
              }
              say.put(said);
              note(a.lock(20s));
              a.unlock();
              say.put(said);
            },
            m,
            c,
            s,
            e,
            b,
            b2,
            ::getpid(),
            out};
  const std::string late = "timed_out timed_out timed_out timed_out timed_out timed_out timed_out ";
  CHECK(out.get(20s).value() == late);
  m.unlock();
  CHECK(out.get(20s).value() == late + "! ");
  CHECK(p.join(20s).value().success());
}

TEST_CASE("all kinds travel inside messages, and one whose only handle is in a message lives") {
  EACH_METHOD(how);
  struct tools {
    mutex m;
    semaphore s;
    condition c;
    event e;
    barrier b;
  };
  const queue<tools> in{here()};
  {
    const mutex m{here()};
    in.put({m, semaphore{here(), 1}, condition{here(), m}, event{here()}, barrier{here(), 2}});
  }
  const auto mine = in.get();
  in.put(mine);
  mine.s.acquire();
  process p{here(), by(how),
            [](source<tools> from) {
              const auto got = from.get();
              got.s.acquire();
              {
                const std::scoped_lock lock(got.c);
                got.c.notify_all();
              }
              got.e.set();
              got.b.wait();
            },
            in};
  {
    const std::scoped_lock lock(mine.c);
    mine.s.release();
    CHECK(mine.c.wait(20s));
  }
  CHECK(mine.e.wait(20s));
  CHECK(mine.b.wait(20s));
  CHECK(p.join(20s).value().success());
  CHECK(mine.m.try_lock());
  mine.m.unlock();
}

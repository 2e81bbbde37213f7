// SPDX-License-Identifier: BSD-3-Clause
// Links: processes that end with one another.
#include "supervisor_support.hpp"

#include <cloister/actor.hpp>
#include <cloister/monitor.hpp>

#include <csignal>

using namespace cloister;
using namespace support;

namespace {

// Links itself to whom it is told, says so, and lives until it is told how to end.
void linked_worker(source<process_id> to, sink<int> done, source<int> end) {
  for (;;) {
    const auto whom = to.get(10ms);
    if (whom) {
      link(*whom);
      done.put(1);
    }
    if (const auto how = end.try_get()) return end_in_way(*how);
  }
}

struct worker {
  queue<process_id> to{here()};
  queue<int> done{here()}, end{here()};
  process p{here(), linked_worker, to, done, end};
  ~worker() { end.put(returns); }
  void link_to(const process_id& other) {
    to.put(other);
    REQUIRE(done.get(20s));
  }
};

}  // namespace

TEST_CASE("of two linked processes neither outlives the other's failure, whoever made the link; both outlive a normal end") {
  const int how = GENERATE(range(0, ways));
  const bool other_way = GENERATE(false, true);
  INFO("way " << how);
  worker a, b;
  a.link_to(b.p.id());
  (other_way ? a : b).end.put(how);
  auto& left = other_way ? b : a;
  if (is_normal(how)) {
    CHECK((other_way ? a : b).p.join(20s));
    worker later;  // the hub has seen to the end before it starts another
    CHECK(left.p.is_alive());
    left.end.put(returns);
    CHECK(left.p.join(20s).value().success());
  } else {
    CHECK(left.p.join(20s).value().signal() == SIGKILL);
  }
}

TEST_CASE("a failure goes along a chain of links") {
  worker a, b, c, apart;
  a.link_to(b.p.id());
  c.link_to(b.p.id());
  c.end.put(throws);
  CHECK(a.p.join(20s).value().signal() == SIGKILL);
  CHECK(b.p.join(20s).value().signal() == SIGKILL);
  CHECK(apart.p.is_alive());
}

TEST_CASE("a link to one that has ended: a failure ends whoever makes it at once, a normal end does nothing") {
  process failed{here(), [] { ::raise(SIGKILL); }}, well{here(), [] {}};
  failed.join();
  well.join();
  worker a;
  a.link_to(well.id());
  CHECK(a.p.is_alive());
  a.to.put(failed.id());
  CHECK(a.p.join(20s).value().signal() == SIGKILL);
}

TEST_CASE("a link that is undone does nothing, however often it was made") {
  queue<int> go{here()};
  worker other;
  process p{here(),
            [](process_id who, source<int> in) {
              link(who);
              link(who);
              unlink(who);
              unlink(who);
              in.get();
            },
            other.p.id(), go};
  go.put(1);
  CHECK(p.join(20s).value().success());
  process q{here(),
            [](process_id who, source<int> in) {
              link(who);
              in.get();
              unlink(who);
              ::raise(SIGKILL);
            },
            other.p.id(), go};
  go.put(1);
  CHECK(q.join(20s).value().signal() == SIGKILL);
  worker later;
  CHECK(other.p.is_alive());
}

TEST_CASE("whoever makes a link and dies at the next instruction has made it") {
  worker other;
  process p{here(),
            [](process_id who) {
              link(who);
              ::kill(::getpid(), SIGKILL);
            },
            other.p.id()};
  CHECK(other.p.join(20s).value().signal() == SIGKILL);
}

TEST_CASE("the first process is linked to nobody") {
  worker a;
  CHECK(refused([&] { link(a.p); }) == errc::invalid);
  CHECK(refused([&] { link(process_id{}); }) == errc::invalid);
  process p{here(), [] { link(parent_process().value().id()); }};
  CHECK(p.join(20s).value().exception_text().find("with that one all others end") != std::string::npos);
}

TEST_CASE("children that are linked are restarted together, and the report says why the second one ended") {
  const supervisor s{here(), {.intensity = 10}};
  queue<supervision_report> reports{here()};
  s.subscribe(reports);
  s.start_child({.id = "a", .ready_within = 50s}, [] {
    this_process::ready();
    sleep_long();
  });
  s.start_child(
      {.id = "b", .ready_within = 50s},
      [](process_id a) {
        link(a);
        this_process::ready();
        sleep_long();
      },
      s.which_child("a").process.value());
  const auto b = s.which_child("b").process.value();
  testing::kill_child(s, "a");
  for (;;) {
    const auto r = reports.get(50s).value();
    if (r.what != kind::ended || r.child.id != "b") continue;
    CHECK(r.text.find("it was linked to process 'a'") == 0);
    break;
  }
}

namespace {
struct failing {};
struct partner {
  void on(actor<partner> other) { link(other); }
  void on(failing) { throw std::runtime_error("no"); }
};
}  // namespace

TEST_CASE("actors are linked: one that fails takes the other's process along") {
  const actor<partner> a{here()}, b{here()};
  a.ask(b, 20s).value();
  const auto first = a.process().value();
  queue<exit_notice> ends{here()};
  monitor(first, ends);
  b.tell(failing{});
  CHECK(ends.get(20s).value().exit.signal() == SIGKILL);
  CHECK(a.ask(b, 20s) == errc::peer_down);
}

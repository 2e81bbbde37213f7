// SPDX-License-Identifier: BSD-3-Clause
// Supervisors over real processes.
#include "supervisor_support.hpp"

#include <cloister/supervisor.hpp>
#include <cloister/testing.hpp>

#include <atomic>
#include <csignal>
#include <future>

#include <sys/auxv.h>

using namespace cloister;
using namespace support;

TEST_CASE("a supervisor starts its children in order and ends them when it is destroyed") {
  queue<std::string> said{here()};
  pid_t a = 0;
  {
    const auto worker = [](sink<std::string> to, std::string name) {
      to.put(name);
      sleep_long();
    };
    const supervisor s{here(), {}, supervised({.id = "a"}, worker, said, "a"), supervised({.id = "b"}, worker, said, "b")};
    CHECK((said.get(20s).value() + said.get(20s).value()).size() == 2);
    CHECK(s.count_children() == child_counts{2, 2, 0, 2});
    a = pid_of(s, "a");
    CHECK(alive(a));
  }
  CHECK_FALSE(alive(a));
}

TEST_CASE("a killed child is started again with the same handles, and its leased message comes back") {
  queue<int> jobs{here()};
  queue<int> answers{here()};
  const supervisor s{here(),
                     {.intensity = 5},
                     supervised(
                         {.id = "worker"},
                         [](source<int> in, sink<int> out) {
                           for (auto& job : in.leases()) {
                             if (*job == 13 && !job.redelivered()) ::raise(SIGKILL);
                             out.put(*job);
                           }
                         },
                         jobs, answers)};
  for (const int n : {1, 13, 2}) jobs.put(n);
  std::vector<int> got;
  for (int i = 0; i < 3; ++i) got.push_back(answers.get(20s).value());
  std::sort(got.begin(), got.end());
  CHECK(got == std::vector<int>{1, 2, 13});
  jobs.close();
}

TEST_CASE("one_for_all restarts the others too; a child that fails too often ends its supervisor") {
  const supervisor s{here(),
                     {.strategy = one_for_all, .intensity = 1, .period = 1h},
                     supervised({.id = "a"}, sleep_long),
                     supervised({.id = "b"}, sleep_long)};
  const auto b = s.which_child("b").process.value();
  CHECK(testing::replaced(s, "a", testing::kill_child(s, "a")));
  CHECK(testing::replaced(s, "b", b));
  testing::kill_child(s, "a");
  const auto exit = s.join(20s);
  REQUIRE(exit);
  CHECK(ended_normally(*exit));
  CHECK_FALSE(s.is_alive());
  CHECK_THROWS_AS(s.count_children(), failure);
}

TEST_CASE("children are added, ended, started again and forgotten at run time") {
  const supervisor s{here()};
  CHECK(s.start_child({.id = "a"}, sleep_long).state == child_state::running);
  CHECK(refused([&] { s.start_child({.id = "a"}, sleep_long); }) == errc::already_started);
  CHECK(refused([&] { s.restart_child("a"); }) == errc::running);
  CHECK(refused([&] { s.delete_child("a"); }) == errc::running);
  s.terminate_child("a");
  s.terminate_child("a");
  CHECK(refused([&] { s.start_child({.id = "a"}, sleep_long); }) == errc::already_present);
  CHECK(s.restart_child("a").process);
  s.terminate_child("a");
  s.delete_child("a");
  CHECK(refused([&] { s.which_child("a"); }) == errc::not_found);
  CHECK(s.which_children().empty());
}

TEST_CASE("when a supervisor's owner is killed its children end, and nothing is started again") {
  queue<pid_t> pids{here()};
  process owner{here(),
                [](const node& inner, sink<pid_t> to) {
                  const supervisor s{inner, {.intensity = 1000}, supervised({.id = "a"}, sleep_long)};
                  to.put(pid_of(s, "a"));
                  sleep_long();
                },
                pids};
  const auto child = pids.get(20s).value();
  CHECK(alive(child));
  owner.kill();
  owner.join();
  CHECK(harness::eventually([&] { return !alive(child); }));
}

TEST_CASE("impossible flags and specifications are an error each") {
  const auto refused = [](supervisor_options o, child_options c) {
    try {
      const supervisor s{here(), std::move(o), supervised(std::move(c), sleep_long)};
    } catch (const failure& f) {
      CHECK(f.code() == errc::invalid);
      return std::string(f.what());
    }
    return std::string();
  };
  CHECK(refused({.period = 0s}, {.id = "a"}).find("period") != std::string::npos);
  CHECK(refused({}, {.id = ""}).find("id is empty") != std::string::npos);
  CHECK(refused({}, {.id = "a", .restart = transient, .significant = true}).find("no auto_shutdown") != std::string::npos);
}

TEST_CASE("what is said of a specification without starting it is what its start would say, also of a supervisor within") {
  const auto wrong = [] { return detail::collect(supervised({.id = "inner", .ready_within = 1s}, supervisor_options{})); };
  const auto said = supervisor::check({.name = "top"}, wrong());
  REQUIRE(said == errc::invalid);
  CHECK_THROWS_WITH((supervisor{here(), {.name = "top"}, wrong()}), said.error().text());
}

TEST_CASE("a supervisor within another is restarted as it was made, and its object finds it again") {
  const supervisor top{here(), {.name = "top", .intensity = 5}};
  const supervisor inner{top, {.id = "inner"}, {.intensity = 0}, supervised({.id = "a"}, sleep_long)};
  CHECK(inner.name() == "top/inner");
  inner.start_child({.id = "b"}, sleep_long);
  CHECK(inner.count_children() == child_counts{2, 2, 0, 2});
  CHECK(top.count_children() == child_counts{1, 1, 1, 0});
  const auto b = pid_of(inner, "b");
  CHECK(testing::replaced(inner, "a", testing::kill_child(inner, "a")));
  CHECK_FALSE(alive(b));
  CHECK(inner.count_children() == child_counts{1, 1, 0, 1});
  CHECK(supervisor::find(top, "inner").which_child("a").process == inner.which_child("a").process);
  inner.stop();
  CHECK(inner.join(20s));
  CHECK(top.which_child("inner").state == child_state::stopped);
}

TEST_CASE("a tree is made at once, and ends at once, three levels deep") {
  pid_t leaf = 0;
  {
    const supervisor top{here(),
                         {},
                         supervised({.id = "left"}, {}, supervised({.id = "deep"}, {}, supervised({.id = "leaf"}, sleep_long))),
                         supervised({.id = "right"}, supervisor_options{}, supervised({.id = "leaf"}, sleep_long))};
    const auto deep = supervisor::find(supervisor::find(top, "left"), "deep");
    leaf = pid_of(deep, "leaf");
    CHECK(alive(leaf));
    CHECK(top.count_children() == child_counts{2, 2, 2, 0});
  }
  CHECK_FALSE(alive(leaf));
}

TEST_CASE("a supervisor within another that is killed takes its children along") {
  const supervisor top{
      here(), {.intensity = 5}, supervised({.id = "inner", .shutdown = brutal_kill}, {}, supervised({.id = "a"}, [] {
                                             this_process::ready();
                                             for (;;) ::pause();
                                           }))};
  const auto inner = supervisor::find(top, "inner");
  const auto a = pid_of(inner, "a");
  top.terminate_child("inner");
  CHECK_FALSE(alive(a));
  CHECK(inner.join().signal() == SIGKILL);
}

TEST_CASE("a child that says when it is ready has started then, and what it said is known") {
  queue<int> go{here()};
  const supervisor s{here()};
  go.put(1);
  const auto child = s.start_child(
      {.id = "a", .ready_within = 20s},
      [](source<int> in) {
        this_process::ready("number " + std::to_string(in.get()));
        sleep_long();
      },
      go);
  CHECK(child.said == "number 1");
  CHECK(s.which_child("a").said == "number 1");
}

TEST_CASE("a child that is ready at once is known by its pid") {
  const supervisor s{here()};
  for (int i = 0; i < 300 / harness::slowdown; ++i) {
    const auto child = s.start_child({.id = "a", .restart = temporary, .shutdown = brutal_kill, .ready_within = 50s}, [] {
      this_process::ready();
      sleep_long();
    });
    REQUIRE(child.process.value().pid > 0);
    s.terminate_child("a");
  }
}

TEST_CASE("a child that is not ready in time, or ends before, has not started") {
  const supervisor s{here()};
  const auto refused = [&](auto body, std::chrono::nanoseconds within) {
    try {
      s.start_child({.id = "a", .ready_within = within}, body);
    } catch (const failure& f) {
      CHECK(f.code() == errc::not_started);
      return std::string(f.what());
    }
    return std::string();
  };
  CHECK(refused([] { sleep_long(); }, 50ms) == "it was not ready in time");
  CHECK(refused([] { throw std::runtime_error("no such file"); }, 20s) ==
        "it ended before it was ready: std::runtime_error: no such file");
  CHECK(s.which_children().empty());
}

TEST_CASE("a child that declines stays known without a process; a temporary one is forgotten") {
  const auto body = [] { throw declined("nothing to do"); };
  const supervisor s{here(),
                     {},
                     supervised({.id = "kept", .ready_within = 20s}, body),
                     supervised({.id = "dropped", .restart = temporary, .ready_within = 20s}, body)};
  CHECK(s.which_children().size() == 1);
  CHECK(s.which_child("kept").state == child_state::stopped);
  CHECK(s.start_child({.id = "more", .ready_within = 20s}, body).process == std::nullopt);
  CHECK(s.count_children() == child_counts{2, 0, 0, 2});
}

TEST_CASE("a child that shows no progress is killed and started again, one that does is not") {
  queue<supervision_report> reports{here()};
  const supervisor s{here(), {.intensity = 5}};
  s.subscribe(reports);
  s.start_child({.id = "busy", .progress_within = 2s}, [] {
    for (;;) {
      this_process::progress();
      this_process::sleep_for(10ms);
    }
  });
  s.start_child(
      {.id = "stuck", .shutdown = brutal_kill, .progress_within = 50ms},
      [](int first) {
        if (first == 1) ::raise(SIGSTOP);  // a stopped process hangs as well as any
      },
      1);
  for (;;) {
    const auto r = reports.get(20s).value();
    REQUIRE(r.child.id != "busy" + std::string(r.what == supervision_report::kind::ended ? "" : "?"));
    if (r.what != supervision_report::kind::ended) continue;
    CHECK(r.child.id == "stuck");
    CHECK(r.exit.signal() == SIGKILL);
    CHECK(r.text == "it showed no progress for 50 ms");
    break;
  }
}

TEST_CASE("what a child's limits did to it is said in the report") {
  queue<supervision_report> reports{here()};
  const supervisor s{here()};
  s.subscribe(reports);
  const auto why = [&] {
    for (;;)
      if (const auto r = reports.get(30s).value(); r.what == supervision_report::kind::ended) return r.text;
  };
  if (!harness::sanitized) {
    s.start_child({.id = "fat", .restart = temporary, .process = {.limits = {.memory = 64 << 20}}}, [] {
      std::vector<char> all(1 << 30, 'x');
      this_process::ready(std::string(all.data(), 1));
    });
    CHECK(why() == "its memory was limited to 67108864 bytes");
    s.start_child({.id = "full", .restart = temporary, .process = {.limits = {.memory = 1 << 30}}},
                  [] { throw failure(errc::no_memory, "no memory"); });  // as the library's calls do
    CHECK(why() == "its memory was limited to 1073741824 bytes");
  }
  s.start_child({.id = "hot", .restart = temporary, .process = {.limits = {.cpu_time = 1s}}}, [] {
    for (std::atomic<int> turns{0};; ++turns) {}
  });
  CHECK(why() == "its processor time was limited to 1 s");
}

TEST_CASE("a supervisor in a process of its own takes its children along, and both come back") {
  queue<pid_t> pids{here()};
  const supervisor top{here(),
                       {.intensity = 5},
                       supervised(
                           {.id = "own", .shutdown = 20s},
                           [](const node& inner, sink<pid_t> to) {
                             const supervisor s{inner, {}, supervised({.id = "a"}, sleep_long)};
                             to.put(pid_of(s, "a"));
                             s.join();
                           },
                           pids)};
  const auto first = pids.get(20s).value();
  testing::kill_child(top, "own");
  const auto second = pids.get(20s).value();
  CHECK(first != second);
  CHECK(harness::eventually([&] { return !alive(first); }));
  CHECK(alive(second));
}

TEST_CASE("a restarted child takes over its predecessor's end of a pipe, with what was not received; its last end is the pipe's") {
  auto [mine, theirs] = pipe<int>(here());
  const supervisor s{here(), {.intensity = 5}};
  s.start_child(
      {.id = "echo", .restart = transient},
      [](pipe_end<int> end) {
        for (;;) {
          const int n = end.recv();
          if (n == 0) ::raise(SIGKILL);
          if (n < 0) return;
          end.send(n);
        }
      },
      std::move(theirs));
  for (const int n : {1, 0, 2, 3, 0, 4, -1}) mine.send(n);
  for (const int n : {1, 2, 3, 4}) CHECK(mine.recv(20s).value() == n);
  CHECK(mine.recv(20s) == errc::closed);
  s.restart_child("echo");
  mine.send(5);
  CHECK(mine.recv(20s).value() == 5);
  testing::kill_child(s, "echo", SIGTERM);
  const auto down = mine.recv(20s);
  REQUIRE(down == errc::peer_down);
  CHECK(down.error().exit()->signal() == SIGTERM);
}

TEST_CASE("a queue that closes with its last sink outlives a producer's death, and closes when it is not started again") {
  const queue<int> numbers{here(), {.close_with_last_sink = true}};
  const supervisor s{here(), {.intensity = 5}};
  queue<int> turns{here()};
  turns.put(1);
  s.start_child(
      {.id = "produce", .restart = transient},
      [](source<int> turn, sink<int> out) {
        const auto t = turn.take();
        out.put(1);
        if (!t.redelivered()) ::raise(SIGKILL);
      },
      turns, numbers);
  CHECK(numbers.get(20s).value() == 1);
  CHECK(numbers.get(20s).value() == 1);
  CHECK(numbers.get(20s) == errc::closed);
}

TEST_CASE("a supervisor in a process that is asked to stop gives its children the time that they were promised") {
  queue<int> began{here()}, cleaned{here()};
  process owner{here(),
                {.shutdown = 50s},
                [](const node& inner, sink<int> to, sink<int> last) {
                  const supervisor s{inner,
                                     {},
                                     supervised(
                                         {.id = "slow", .shutdown = 40s},
                                         [](sink<int> up, sink<int> done) {
                                           up.put(1);
                                           sleep_until_asked();
                                           const auto end = std::chrono::steady_clock::now() +
                                                            1500ms;  // longer than calls of a process that was asked to stop
                                           while (std::chrono::steady_clock::now() < end) ::usleep(10'000);
                                           done.try_put(1).value();
                                         },
                                         to, last)};
                  sleep_until_asked();
                },
                began,
                cleaned};
  began.get(20s).value();
  owner.terminate();
  CHECK(owner.join(60s));
  CHECK(cleaned.try_get().value() == 1);
}

TEST_CASE("what a supervisor is asked about may be long") {
  const supervisor s{here()};
  const auto says_much = [](std::string what) {
    this_process::ready(what);
    sleep_long();
  };
  for (int i = 0; i < 5; ++i)
    s.start_child({.id = std::to_string(i), .ready_within = 50s}, says_much, std::string(30'000, static_cast<char>('a' + i)));
  const auto all = s.which_children();
  REQUIRE(all.size() == 5);
  for (int i = 0; i < 5; ++i) CHECK(all[static_cast<std::size_t>(4 - i)].said == std::string(30'000, static_cast<char>('a' + i)));
}

TEST_CASE("a restart that hangs does not keep its supervisor from ending") {
  queue<int> tickets{here()}, up{here()};
  tickets.put(1);
  {
    const supervisor s{here(), {.intensity = 5}};
    s.start_child(
        {.id = "a", .shutdown = brutal_kill, .ready_within = std::chrono::nanoseconds::max()},
        [](source<int> in, sink<int> out) {
          out.put(1);
          if (in.try_get()) this_process::ready();
          for (;;) ::pause();
        },
        tickets, up);
    up.get(20s).value();
    testing::kill_child(s, "a");
    up.get(20s).value();
  }
  CHECK(tickets.empty());
}

TEST_CASE("calls of a supervisor and of one within it may be made at the same time") {
  const supervisor s{here()};
  const supervisor inner{s, {.id = "inner"}};
  const auto add = [](const supervisor& to) {
    for (int i = 0; i < 30; ++i) {
      to.start_child({.id = std::to_string(i), .restart = temporary}, sleep_long);
      to.terminate_child(std::to_string(i));
    }
  };
  auto other = std::async(std::launch::async, [&] { add(inner); });
  add(s);
  CHECK_NOTHROW(other.get());
}

TEST_CASE("a child that shows progress while it ends is not killed as hanging") {
  queue<int> up{here()};
  const supervisor s{here()};
  queue<supervision_report> reports{here()};
  s.subscribe(reports);
  s.start_child(
      {.id = "a", .shutdown = 40s, .progress_within = 300ms},
      [](sink<int> out) {
        out.put(1);
        while (!this_process::stop_requested()) {
          this_process::progress();
          ::usleep(1000);
        }
        this_process::progress();
        const auto end = std::chrono::steady_clock::now() + 900ms;
        while (std::chrono::steady_clock::now() < end) ::usleep(10'000);
      },
      up);
  up.get(20s).value();
  s.terminate_child("a");
  for (;;) {
    const auto r = reports.get(20s).value();
    if (r.what == supervision_report::kind::started) continue;
    CHECK(r.what == supervision_report::kind::ended);
    CHECK(r.exit.success());
    break;
  }
}

TEST_CASE("children are started as their supervisor's place says, and never forked") {
  const auto random = [](sink<std::string> to) {
    // The kernel gives it to every program that it executes, and a fork keeps it.
    const auto* at = reinterpret_cast<const char*>(::getauxval(AT_RANDOM));
    to.put(std::string(at, 16));
    sleep_long();
  };
  queue<std::string> to{here()};
  const std::string mine(reinterpret_cast<const char*>(::getauxval(AT_RANDOM)), 16);
  const supervisor usual{here(), {}, supervised({.id = "a"}, random, to)};
  CHECK(to.get(20s).value() == mine);
  const supervisor executes{here().context(start_method::spawn), {}, supervised({.id = "a"}, random, to)};
  CHECK(to.get(20s).value() != mine);
  const supervisor inner{executes, {.id = "inner"}, {}, supervised({.id = "a"}, random, to)};
  CHECK(to.get(20s).value() != mine);
  executes.start_child({.id = "b", .process = {.start = start_method::forkserver}}, random, to);
  CHECK(to.get(20s).value() == mine);
  CHECK(refused([&] { executes.start_child({.id = "c", .process = {.start = start_method::fork}}, random, to); }) == errc::invalid);
}

TEST_CASE("a supervisor that was moved from says so") {
  supervisor a{here()};
  const supervisor b(std::move(a));
  CHECK(refused([&] { a.count_children(); }) == errc::invalid);
  CHECK_FALSE(a.is_alive());
  CHECK(b.count_children() == child_counts{});
}

TEST_CASE("a subscriber whose queue was full hears how many reports it has missed") {
  const supervisor s{here()};
  const queue<supervision_report> reports{here(), {.max_items = 1}};
  s.subscribe(reports);
  s.subscribe(reports);  // is told once nevertheless
  for (const auto* id : {"a", "b", "c"}) s.start_child({.id = id}, sleep_long);
  s.count_children();
  CHECK(reports.get(20s).value().child.id == "a");
  CHECK(reports.try_get() == errc::would_block);
  s.start_child({.id = "d"}, sleep_long);
  const auto r = reports.get(20s).value();
  CHECK(r.child.id == "d");
  CHECK(r.missed == 2);
}

TEST_CASE("supervisors within one another, but not without end") {
  auto nested = [](int depth) {
    auto recipe = supervised({.id = "leaf"}, sleep_long);
    for (int i = 0; i < depth; ++i) recipe = supervised({.id = "x"}, {}, std::move(recipe));
    return recipe;
  };
  const supervisor s{here()};
  CHECK(s.start_child(nested(60)).state == child_state::running);
  s.terminate_child("x");
  s.delete_child("x");
  CHECK(refused([&] { s.start_child(nested(70)); }) == errc::invalid);
  CHECK(refused([&] { s.start_child(nested(500)); }) == errc::invalid);
  CHECK(s.start_child(nested(2)).state == child_state::running);
}

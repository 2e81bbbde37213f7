// SPDX-License-Identifier: BSD-3-Clause
// Supervisors over real processes.
#include "process_support.hpp"

#include <cloister/supervisor.hpp>

#include <csignal>

using namespace cloister;
using namespace support;

namespace {

pid_t pid_of(const supervisor& s, const std::string& id) { return s.which_child(id).process.value().pid; }

bool restarted(const supervisor& s, const std::string& id, pid_t old) {
  return harness::eventually([&] {
    const auto c = s.which_child(id);
    return c.state == child_state::running && c.process->pid != old;
  });
}

}  // namespace

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
  const supervisor s{here(), {.intensity = 5}, supervised({.id = "worker"}, [](source<int> in, sink<int> out) {
                       for (auto& job : in.leases()) {
                         if (*job == 13 && !job.redelivered()) ::raise(SIGKILL);
                         out.put(*job);
                       }
                     }, jobs, answers)};
  for (const int n : {1, 13, 2}) jobs.put(n);
  std::vector<int> got;
  for (int i = 0; i < 3; ++i) got.push_back(answers.get(20s).value());
  std::sort(got.begin(), got.end());
  CHECK(got == std::vector<int>{1, 2, 13});
  jobs.close();
}

TEST_CASE("one_for_all restarts the others too; a child that fails too often ends its supervisor") {
  const supervisor s{here(), {.strategy = one_for_all, .intensity = 1, .period = 1h}, supervised({.id = "a"}, sleep_long),
                     supervised({.id = "b"}, sleep_long)};
  const auto a = pid_of(s, "a"), b = pid_of(s, "b");
  ::kill(a, SIGKILL);
  CHECK(restarted(s, "a", a));
  CHECK(restarted(s, "b", b));
  ::kill(pid_of(s, "a"), SIGKILL);
  const auto exit = s.join(20s);
  REQUIRE(exit);
  CHECK(ended_normally(*exit));
  CHECK_FALSE(s.is_alive());
  CHECK_THROWS_AS(s.count_children(), failure);
}

TEST_CASE("children are added, ended, started again and forgotten at run time") {
  const supervisor s{here()};
  CHECK(s.start_child({.id = "a"}, sleep_long).state == child_state::running);
  const auto refused = [](auto call) {
    try {
      call();
    } catch (const failure& f) { return f.code(); }
    return errc::timed_out;
  };
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
  process owner{here(), [](const node& inner, sink<pid_t> to) {
                  const supervisor s{inner, {.intensity = 1000}, supervised({.id = "a"}, sleep_long)};
                  to.put(pid_of(s, "a"));
                  sleep_long();
                }, pids};
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

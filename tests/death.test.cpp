// SPDX-License-Identifier: BSD-3-Clause
// When the first process of a node is gone, everything is: seen from outside, on a program in a session of its own.
// The promise is one second; the tests allow more, because the machine may be busy.
#include "process_support.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string_view>

using namespace cloister;
using namespace support;

namespace {

constexpr std::string_view nameless_kinds[] = {"/memfd:", "pipe:", "socket:", "anon_inode:", "/dev/null", "/proc/"};

struct tree {
  explicit tree(const std::string& scenario) : run({scenario}) {
    child = run.number("child");
    for (int i = 0; i < 2; ++i) processes.push_back(run.number("pid"));
    launcher = run.number("launcher");
    first = run.number("ready");
    // The daemon made a session of its own: it is found by its program.
    REQUIRE(harness::eventually([&] { return everyone().size() == 5; }));
  }
  // All processes that run this program's file as children of one of ours, wherever their session.
  std::vector<pid_t> everyone() const {
    std::vector<pid_t> all;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const pid_t pid = std::atoi(entry.path().filename().c_str());
      std::error_code gone;
      if (pid > 0 && alive(pid) &&
          std::filesystem::read_symlink(entry.path() / "exe", gone).string().starts_with(program::path()) &&
          (pid == first || pid == launcher || std::find(processes.begin(), processes.end(), pid) != processes.end() ||
           is_daemon(pid)))
        all.push_back(pid);
    }
    return all;
  }
  // Its standard output is the same pipe as the program's.
  bool is_daemon(pid_t pid) const {
    std::error_code gone;
    const auto mine = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(run.output()), gone);
    return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/fd/1", gone) == mine;
  }

  program run;
  std::vector<pid_t> processes;
  pid_t child = 0, launcher = 0, first = 0;
};

// Entries that could be ours, by name. Other tests, which may run at the same time, have directories called cloister-test-*.
std::set<std::string> entries() {
  std::set<std::string> all;
  std::error_code none;
  for (const auto* directory : {"/dev/shm", "/tmp", "/run"}) {
    for (std::filesystem::directory_iterator at(directory, none), end; !none && at != end; at.increment(none)) {
      const auto name = at->path().filename().string();
      if (name.find("cloister") != std::string::npos && !name.starts_with("cloister-test-")) all.insert(at->path().string());
    }
  }
  return all;
}

// The sockets of this machine that have a name, abstract ones too, as /proc/PID/fd shows them.
std::set<std::string> named_sockets() {
  std::set<std::string> all;
  std::ifstream in("/proc/net/unix");
  for (std::string line; std::getline(in, line);) {
    std::istringstream columns(line);
    std::string column, inode, path;
    for (int i = 0; i < 6; ++i) columns >> column;
    if (columns >> inode >> path) all.insert("socket:[" + inode + "]");
  }
  return all;
}

// Everything that process `pid` has open, or shares by a mapping, and that has a name by which it could stay behind.
std::vector<std::string> open_names(pid_t pid) {
  const auto named = named_sockets();
  std::vector<std::string> all;
  std::error_code gone;
  const auto process = std::filesystem::path("/proc") / std::to_string(pid);
  for (std::filesystem::directory_iterator at(process / "fd", gone), end; !gone && at != end; at.increment(gone)) {
    const auto what = std::filesystem::read_symlink(at->path(), gone).string();
    const bool nameless =
        std::any_of(std::begin(nameless_kinds), std::end(nameless_kinds), [&](auto kind) { return what.starts_with(kind); });
    if (!gone && what != program::path() && (!nameless || named.contains(what))) all.push_back(what);
  }
  std::ifstream maps(process / "maps");
  for (std::string line; std::getline(maps, line);) {
    std::istringstream columns(line);
    std::string range, rights, offset, device, inode, path;
    columns >> range >> rights >> offset >> device >> inode >> path;
    if (rights.ends_with('s') && !path.starts_with("/memfd:")) all.push_back(path);
  }
  return all;
}

}  // namespace

TEST_CASE("the hub sleeps after a death, though a process that the program forked has a copy of the dead one's socket") {
  process p{here(), sleep_long};
  harness::child copy([] {
    for (;;) ::pause();
  });
  p.kill();
  CHECK(p.join().signal() == SIGKILL);
  const auto hub = hub_thread();
  REQUIRE(hub > 0);
  CHECK(harness::eventually([&] { return harness::asleep(hub); }));
}

TEST_CASE("promise 32: when the first process is killed, its children, grandchildren and stray daemons end") {
  const std::string scenario = GENERATE("tree", "tree-spawn", "tree-fork");
  INFO(scenario);
  tree t(scenario);
  ::kill(t.first, SIGKILL);
  CHECK(all_gone(t.processes));
  CHECK(harness::eventually([&] { return t.everyone().empty(); }));
}

TEST_CASE("a stopped launcher does not keep a dead program's processes alive") {
  tree t("tree");
  ::kill(t.launcher, SIGSTOP);
  ::kill(t.first, SIGKILL);
  CHECK(all_gone(t.processes));
  ::kill(t.launcher, SIGCONT);
  CHECK(harness::eventually([&] { return t.everyone().empty(); }));
}

TEST_CASE("a dead launcher does not keep a dead program's processes alive") {
  tree t("tree");
  ::kill(t.launcher, SIGKILL);
  REQUIRE(harness::eventually([&] { return !alive(t.launcher); }));
  ::kill(t.first, SIGKILL);
  CHECK(all_gone(t.processes));
}

TEST_CASE("a killed process takes its own children and its stray daemons along, and nobody else") {
  const std::string scenario = GENERATE("tree", "tree-spawn", "tree-fork");
  INFO(scenario);
  tree t(scenario);
  ::kill(t.child, SIGKILL);
  CHECK(harness::eventually([&] { return t.everyone().size() == 2; }));
  CHECK(alive(t.first));
  CHECK(alive(t.launcher));
}

TEST_CASE("promise 38: a program whose processes are all killed leaves no file, no name and no socket behind") {
  const std::string scenario = GENERATE("tree", "tree-spawn", "tree-fork");
  INFO(scenario);
  const auto before = entries();
  {
    tree t(scenario);
    // What has no name cannot be left behind, whoever dies where. (What this program was given by its own starter is not the node's.)
    const auto inherited = open_names(::getpid());
    for (const auto pid : t.everyone()) {
      for (const auto& name : open_names(pid)) {
        INFO(name);
        CHECK(std::find(inherited.begin(), inherited.end(), name) != inherited.end());
      }
    }
    for (const auto pid : t.everyone()) ::kill(pid, SIGKILL);
    CHECK(harness::eventually([&] { return t.everyone().empty(); }));
  }
  CHECK(entries() == before);
}

TEST_CASE("whom the end of a node waits for goes on as before, with its daemons and its starts") {
  program run({"waited-for"});
  run.number("end");
  CHECK(run.number("exit") == 0);
  CHECK(run.number("alive") == 1);
  CHECK(run.wait().success());
}

TEST_CASE("an uncaught exception in main ends the whole node") {
  program run({"uncaught"});
  run.rest();
  CHECK(run.wait().signal() == SIGABRT);
}

TEST_CASE("an exception that unwinds a process object asks the process to end") {
  program run({"unwinding"});
  const auto text = run.rest();
  INFO(text);
  CHECK(text.find("unwound") != std::string::npos);
  CHECK(text.find("caught 1") != std::string::npos);
  CHECK(run.wait().success());
}

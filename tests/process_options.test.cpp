// SPDX-License-Identifier: BSD-3-Clause
// What a process can be given beside its body, for each start method.
#include "process_support.hpp"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <new>
#include <sstream>

#include <fcntl.h>
#include <unistd.h>

using namespace cloister;
using namespace support;

namespace {

std::string contents(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::ostringstream all;
  all << in.rdbuf();
  return all.str();
}

struct scratch {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("process_options_" + std::to_string(::getpid()));
  scratch() { std::filesystem::create_directory(path); }
  ~scratch() { std::filesystem::remove_all(path); }
};

void speak() {
  std::cout << "out\n";
  std::cerr << "err\n";
}

}  // namespace

TEST_CASE("a process has the name it was given, or a number") {
  EACH_METHOD(how);
  queue<std::string> to{here()};
  process a{here(), {.name = "reader", .start = how}, [](queue<std::string> out) { out.put(this_process::name()); }, to};
  CHECK(to.get() == "reader");
  process b{here(), by(how), [](queue<std::string> out) { out.put(this_process::name()); }, to};
  const auto name = to.get();
  CHECK(name.starts_with("process-"));
  CHECK(b.name() == name);
}

TEST_CASE("a process that wants more memory than its limit gets bad_alloc") {
  EACH_METHOD(how);
  if (harness::sanitized) return;
  process p{here(), {.start = how, .limits = {.memory = std::size_t{256} << 20}}, [] {
              std::vector<char> fits(std::size_t{16} << 20, 'x');
              std::vector<char> too_large(std::size_t{512} << 20, 'x');
            }};
  CHECK(p.join().exception_type() == "std::bad_alloc");
}

TEST_CASE("a process that computes longer than its limit ends by SIGXCPU") {
  EACH_METHOD(how);
  process p{here(), {.start = how, .limits = {.cpu_time = 1s}, .stderr = ::fileno(std::tmpfile())}, [] {
              for (volatile int busy = 1; busy != 0;) {}
            }};
  CHECK(p.join().signal() == SIGXCPU);
}

TEST_CASE("a process that opens more files than its limit gets EMFILE") {
  EACH_METHOD(how);
  process p{here(), {.start = how, .limits = {.open_files = 64}}, [] {
              for (int i = 0; i < 64; ++i) {
                if (::open("/dev/null", O_RDONLY) < 0) ::_exit(errno == EMFILE ? 9 : 1);
              }
            }};
  CHECK(p.join() == exit_status::exited(9));
}

TEST_CASE("environment and directory are what was asked for") {
  EACH_METHOD(how);
  const scratch dir;
  queue<std::string> to{here()};
  process p{here(),
            {.start = how, .env = {{"ANSWER", "42"}}, .cwd = dir.path},
            [](queue<std::string> out) {
              const char* answer = ::getenv("ANSWER");
              out.put(std::filesystem::current_path().string());
              out.put(answer != nullptr ? answer : "none");
              out.put(::getenv("PATH") != nullptr ? "path" : "none");
            },
            to};
  CHECK(to.get() == dir.path.string());
  CHECK(to.get() == "42");
  CHECK(to.get() == "path");
  CHECK(p.join().success());
  CHECK(::getenv("ANSWER") == nullptr);
}

TEST_CASE("a directory that does not exist is the process's exit reason, and says so") {
  EACH_METHOD(how);
  process p{here(), {.name = "lost", .start = how, .stderr = ::fileno(std::tmpfile()), .cwd = "/no/such/place"}, [] {}};
  const auto exit = p.join();
  CHECK(exit.exception_type() == "cloister::failure");
  CHECK(exit.exception_text() == "process 'lost' start: cannot enter '/no/such/place': No such file or directory");
}

TEST_CASE("output goes to files or descriptors") {
  EACH_METHOD(how);
  const scratch dir;
  process a{here(), {.start = how, .stdout = dir.path / "out", .stderr = dir.path / "err"}, speak};
  CHECK(a.join().success());
  CHECK(contents(dir.path / "out") == "out\n");
  CHECK(contents(dir.path / "err") == "err\n");
  const owned_fd both(::open((dir.path / "both").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  process b{here(), {.start = how, .stdout = both.get(), .stderr = both.get()}, speak};
  CHECK(b.join().success());
  CHECK(contents(dir.path / "both").size() == 8);
  CHECK_THROWS_WITH((process{here(), {.name = "mute", .start = how, .stdout = dir.path / "no" / "file"}, speak}),
                    Catch::Contains("'mute' start: its output cannot go to"));
}

TEST_CASE("a log level holds in the processes started from then on, and in theirs") {
  EACH_METHOD(how);
  const auto before = current_log_level();
  log_to_stderr(log_level::error);
  queue<int> to{here()};
  process p{here(), by(how),
            [](const node& inner, queue<int> out) {
              out.put(static_cast<int>(current_log_level()));
              process q{inner, [](queue<int> from) { from.put(static_cast<int>(current_log_level())); }, out};
            },
            to};
  CHECK(to.get() == static_cast<int>(log_level::error));
  CHECK(to.get() == static_cast<int>(log_level::error));
  log_to_stderr(before);
}

TEST_CASE("closed standard output in a child is no failure of its own") {
  EACH_METHOD(how);
  process p{here(), by(how), [] {
              for (const int fd : {0, 1, 2}) ::close(fd);
              std::cout << "into the void" << std::flush;
            }};
  CHECK(p.join() == exit_status::exited(0));
}

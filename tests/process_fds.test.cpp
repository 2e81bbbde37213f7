// SPDX-License-Identifier: BSD-3-Clause
// Descriptors: what a child has open, what is handed over, and what happens when there are none left.
#include "process_support.hpp"

#include <algorithm>
#include <csignal>

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace cloister;
using namespace support;

namespace {

struct file_limit {
  rlimit before{};
  explicit file_limit(std::size_t soft) {
    ::getrlimit(RLIMIT_NOFILE, &before);
    rlimit now = before;
    now.rlim_cur = soft;
    ::setrlimit(RLIMIT_NOFILE, &now);
  }
  ~file_limit() { ::setrlimit(RLIMIT_NOFILE, &before); }
};

int highest_descriptor() {
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::close(fd);
  int highest = fd;
  for (int i = fd; i < fd + 200; ++i)
    if (::fcntl(i, F_GETFD) >= 0) highest = i;
  return highest;
}

std::vector<std::string> what_is_open() { return harness::open_descriptors(); }

}  // namespace

TEST_CASE("a descriptor of the parent is not open in a child, except by fork") {
  EACH_METHOD(how);
  const int leaked = ::fcntl(::memfd_create("not to be inherited", 0), F_DUPFD, 100);
  queue<std::vector<std::string>> to{here()};
  process p{here(), by(how), [](queue<std::vector<std::string>> out) { out.put(what_is_open()); }, to};
  const auto open = to.get();
  const bool there =
      std::any_of(open.begin(), open.end(), [](const auto& d) { return d.find("not to be inherited") != std::string::npos; });
  CHECK(there == (how == start_method::fork));
  if (how != start_method::fork) {
    for (const auto& d : open) INFO(d);
    // Standard input and output, control socket, life pipe, the queue's memory; and what the body makes.
    CHECK(open.size() <= 8);
  }
  ::close(leaked);
  p.join();
}

TEST_CASE("a child's open descriptors do not grow with its siblings") {
  const auto how = GENERATE(values({start_method::forkserver, start_method::spawn}));
  queue<int> to{here()};
  std::vector<process> siblings;
  std::vector<int> counts;
  for (int i = 0; i < 6; ++i) {
    siblings.emplace_back(
        here(), by(how),
        [](queue<int> out) {
          out.put(static_cast<int>(what_is_open().size()));
          sleep_long();
        },
        to);
    counts.push_back(to.get());
  }
  CHECK(*std::min_element(counts.begin(), counts.end()) == *std::max_element(counts.begin(), counts.end()));
  for (auto& p : siblings) p.terminate();
}

TEST_CASE("an open descriptor is an argument, and the child writes there") {
  EACH_METHOD(how);
  const bool large = GENERATE(false, true);
  owned_fd file(::memfd_create("written by a child", MFD_CLOEXEC));
  if (large) file = owned_fd(::fcntl(file.get(), F_DUPFD_CLOEXEC, 300));
  const owned_fd mine = file.duplicate();
  process p{here(), by(how), [](owned_fd out) { static_cast<void>(!::write(out.get(), "bytes", 5)); }, std::move(file)};
  CHECK(p.join().success());
  struct stat information {};
  ::fstat(mine.get(), &information);
  CHECK(information.st_size == 5);
}

TEST_CASE("240 handles are arguments; more than fit are a clear error") {
  const auto how = GENERATE(values({start_method::forkserver, start_method::spawn}));
  std::vector<queue<int>> all;
  for (int i = 0; i < 240; ++i) all.emplace_back(here());
  process p{here(), by(how),
            [](std::vector<queue<int>> in) {
              for (auto& q : in) q.put(1);
            },
            all};
  CHECK(p.join().success());
  for (auto& q : all) CHECK(q.try_get().value_or(0) == 1);
  for (int i = 0; i < 20; ++i) all.emplace_back(here());
  CHECK_THROWS_WITH((process{here(), {.name = "greedy", .start = how}, [](std::vector<queue<int>>) {}, all}),
                    Catch::Contains("'greedy' start: more than 248 handles"));
}

TEST_CASE("with no descriptor left a start is a clear error, loses nothing, and can be tried again") {
  EACH_METHOD(how);
  queue<int> to{here()};
  auto [mine, theirs] = one_way<int>(here());
  process p{here(),
            {.name = "later", .start = how, .deferred = true},
            [](queue<int> q, pipe_end<int, void> out) {
              q.put(1);
              out.send(2);
            },
            to,
            std::move(theirs)};
  const int highest = highest_descriptor();
  for (int spare = 0; spare < 16; ++spare) {
    const file_limit none(static_cast<std::size_t>(highest + 1 + spare));
    std::vector<owned_fd> fill;
    for (int fd = 0; (fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) fill.emplace_back(fd);
    for (int i = 0; i < spare && !fill.empty(); ++i) fill.pop_back();
    if (p.started()) break;
    try {
      p.start();
    } catch (const failure& f) {
      CHECK(f.code() == errc::no_descriptors);
      CHECK_THAT(f.what(), Catch::Contains("process 'later' start: "));
    }
  }
  if (!p.started()) p.start();
  CHECK(p.join().success());
  CHECK(to.get() == 1);
  CHECK(mine.recv() == 2);
  process q{here(), by(how), [] {}};
  CHECK(q.join().success());
}

TEST_CASE("a forked process for which the hub has no descriptor left is ended, and that is heard") {
  static bool none_left = false;
  static rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  ::pthread_atfork(
      nullptr,
      [] {                                      // in the parent: the hub has not heard of the child yet
        const rlimit none{3, before.rlim_max};  // poll wants room for what it waits for
        if (none_left) ::setrlimit(RLIMIT_NOFILE, &none);
      },
      nullptr);
  none_left = true;
  process p = process::fork(here(), sleep_long);
  none_left = false;
  ::setrlimit(RLIMIT_NOFILE, &before);
  const auto exit = p.join(20s);
  REQUIRE(exit);
  CHECK(exit->signal() == SIGKILL);
}

TEST_CASE("no mailbox takes the place of a standard output that was closed") {
  EACH_METHOD(how);
  queue<queue<int>> to{here()};
  to.put(queue<int>{here()});
  queue<int> open{here()};
  process p{here(), by(how),
            [](const node& inner, queue<queue<int>> in, queue<int> out) {
              for (const int fd : {0, 1, 2}) ::close(fd);
              const queue<int> own{inner};
              const auto got = in.get();
              int n = 0;
              for (const int fd : {0, 1, 2}) n += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
              out.put(n);
            },
            to, open};
  CHECK(open.get(20s).value_or(-1) == 0);
  CHECK(p.join().success());
}

TEST_CASE("a child with no descriptor left gets a clear error and recovers") {
  queue<std::string> to{here()};
  process p{here(),
            [](const node& inner, queue<std::string> out) {
              {
                const file_limit none(static_cast<std::size_t>(highest_descriptor() + 1));
                std::vector<owned_fd> fill;
                for (int fd = 0; (fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) fill.emplace_back(fd);
                try {
                  queue<int> q{inner};
                  out.put("made");
                } catch (const failure& f) { out.put(std::string(to_string(f.code()))); }
              }
              queue<int> q{inner};
              process nested{inner, [](queue<int> in) { in.put(1); }, q};
              out.put(std::to_string(q.get()));
            },
            to};
  CHECK(to.get() == "no_descriptors");
  CHECK(to.get() == "1");
  CHECK(p.join().success());
}

// SPDX-License-Identifier: BSD-3-Clause
// Shared memory: sealed, reserved before use, gone with its last holder; every shortage is an error and never a signal.
#include "harness.hpp"
#include "small_filesystem.hpp"

#include <cloister/detail/memory.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

using namespace cloister;
using namespace cloister::detail;
using Catch::Matchers::Contains;

namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

std::size_t bytes_held(int fd) {
  struct stat st {};
  REQUIRE(::fstat(fd, &st) == 0);
  return static_cast<std::size_t>(st.st_blocks) * 512;
}

owned_fd copy_of(const memory& m) { return owned_fd(::fcntl(m.fd(), F_DUPFD_CLOEXEC, 0)); }

}  // namespace

TEST_CASE("shared memory is sealed, has its full size, and is reserved only as far as asked") {
  auto m = memory::create("thing", 64 * mib, 8192).value();
  CHECK(m.size() == 64 * mib);
  CHECK(bytes_held(m.fd()) == 8192);
  CHECK(::ftruncate(m.fd(), 4096) != 0);
  CHECK(::ftruncate(m.fd(), 128 * static_cast<off_t>(mib)) != 0);
  CHECK(::fcntl(m.fd(), F_ADD_SEALS, F_SEAL_WRITE) != 0);
  CHECK((::fcntl(m.fd(), F_GETFD) & FD_CLOEXEC) != 0);
  REQUIRE(m.reserve(mib, 3 * mib));
  CHECK(bytes_held(m.fd()) == 8192 + 3 * mib);
  std::memset(m.data() + mib, 7, 3 * mib);
  CHECK(memory::create("odd", 5000, 100).value().size() == 2 * page_size());
  CHECK(memory::create("none", 4096, 0) == errc::invalid);
  CHECK(memory::create("more", 4096, 8192) == errc::invalid);
}

TEST_CASE("what one mapping writes, another one reads, and memory given back is zero") {
  auto m = memory::create("thing", mib, mib).value();
  auto other = memory::attach(copy_of(m), "thing").value();
  REQUIRE(other.size() == m.size());
  REQUIRE(other.data() != m.data());
  std::memset(m.data(), 'x', mib);
  CHECK(other.data()[mib - 1] == std::byte{'x'});
  m.release(100, 3 * page_size());  // whole pages only: the two in between
  CHECK(bytes_held(m.fd()) == mib - 2 * page_size());
  CHECK(other.data()[page_size() - 1] == std::byte{'x'});
  CHECK(other.data()[page_size()] == std::byte{0});
  CHECK(other.data()[3 * page_size()] == std::byte{'x'});
  m.release(0, 10 * mib);  // nonsense is ignored
  REQUIRE(m.reserve(0, mib));
  CHECK(bytes_held(m.fd()) == mib);
  CHECK(m.reserve(mib - 10, 11) == errc::invalid);
  CHECK(m.reserve(~std::size_t{0}, 2) == errc::invalid);
}

TEST_CASE("attaching refuses what is not a sealed memory of ours") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const owned_fd first(ends[0]), second(ends[1]);
  CHECK(memory::attach(first.duplicate(), "x") == errc::wrong_type);
  CHECK(memory::attach(owned_fd{}, "x") == errc::wrong_type);
  owned_fd unsealed(::memfd_create("u", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(::ftruncate(unsealed.get(), 4096) == 0);
  CHECK(memory::attach(unsealed.duplicate(), "x") == errc::wrong_type);
  REQUIRE(::fcntl(unsealed.get(), F_ADD_SEALS, F_SEAL_GROW) == 0);
  CHECK(memory::attach(unsealed.duplicate(), "x") == errc::wrong_type);  // could still shrink: SIGBUS
  REQUIRE(::fcntl(unsealed.get(), F_ADD_SEALS, F_SEAL_SHRINK) == 0);
  CHECK(memory::attach(unsealed.duplicate(), "x"));
  owned_fd empty(::memfd_create("e", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(::fcntl(empty.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) == 0);
  CHECK(memory::attach(std::move(empty), "x") == errc::wrong_type);
}

TEST_CASE("an object header is read back, and a wrong or corrupted one is refused") {
  auto m = memory::create("queue 'tasks'", mib, 4096).value();
  const auto made = object_header::make(object_kind::queue, 42, {11, 12}, m.size(), "tasks");
  std::memcpy(m.data(), &made, sizeof made);
  const auto read = object_header::read(m, object_kind::queue).value();
  CHECK((read.id == 42 && read.fingerprints[0] == 11 && read.fingerprints[1] == 12 && read.name_view() == "tasks"));
  CHECK(object_header::read(m, object_kind::pipe) == errc::wrong_type);
  CHECK_THAT(object_header::read(m, object_kind::pipe).error().text(), Contains("queue 'tasks'"));
  const auto with = [&](auto change) {
    auto h = made;
    change(h);
    std::memcpy(m.data(), &h, sizeof h);
    return object_header::read(m, object_kind::queue);
  };
  CHECK(with([](auto& h) { h.magic ^= 1; }) == errc::wrong_type);
  CHECK(with([](auto& h) { h.version = 99; }) == errc::wrong_type);
  CHECK(with([](auto& h) { h.size += 4096; }) == errc::broken);
  CHECK(with([](auto& h) { h.name.fill('x'); }) == errc::broken);
  const auto cut = object_header::make(object_kind::queue, 1, {}, m.size(), std::string(100, 'n'));
  CHECK(cut.name_view() == std::string(39, 'n'));
}

TEST_CASE("promise 21: memory that a tiny filesystem cannot give is an error, not a SIGBUS") {
  const harness::small_filesystem tiny(4096);  // one page, as small as tmpfs goes
  if (tiny.path().empty()) {
    WARN("skipped: this user may not mount a tmpfs");
    return;
  }
  const auto refused = memory::adopt(tiny.file(), "queue 'q'", mib, 3 * 4096);
  CHECK(refused == errc::no_memory);
  CHECK_THAT(refused.error().text(), Contains("queue 'q'") && Contains("reserve"));
  auto m = memory::adopt(tiny.file(), "queue 'q'", mib, 4096).value();
  std::memset(m.data(), 1, 4096);
  CHECK(m.reserve(4096, 1) == errc::no_memory);
  CHECK(m.data()[4095] == std::byte{1});
  m.release(0, 4096);
  REQUIRE(m.reserve(16 * 4096, 4096));  // what was given back can be had elsewhere
  std::memset(m.data() + 16 * 4096, 2, 4096);
}

TEST_CASE("promise 21: memory beyond the file size limit is an error, not a SIGXFSZ") {
  const auto end = harness::forked([] {
    const rlimit limit{mib, mib};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    const auto r = memory::create("big", 2 * mib, 4096);
    REQUIRE(r == errc::no_memory);
    REQUIRE(memory::create("small", mib / 2, mib / 2));
  });
  CHECK(end == exit_status::exited(0));
}

TEST_CASE("without a free descriptor, making memory says so and leaks none") {
  const auto before = harness::open_descriptors();
  const auto end = harness::forked([] {
    const rlimit limit{0, 0};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
    REQUIRE(memory::create("thing", mib, 4096) == errc::no_descriptors);
  });
  CHECK(end == exit_status::exited(0));
  {
    auto m = memory::create("thing", mib, 4096).value();
    auto n = memory::attach(copy_of(m), "thing").value();
    memory moved = std::move(n);
    CHECK((moved && !n));
    n = std::move(moved);
    CHECK((n && n.size() == mib));
  }
  CHECK(memory::adopt(owned_fd(::open("/dev/null", O_RDWR | O_CLOEXEC)), "null", mib, 4096) == errc::invalid);
  CHECK(harness::open_descriptors() == before);
}

TEST_CASE("reserving ends although a timer interrupts it all the time") {
  const auto end = harness::forked([] {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    ::sigaction(SIGALRM, &action, nullptr);
    const itimerval often{{0, 50}, {0, 50}};
    REQUIRE(::setitimer(ITIMER_REAL, &often, nullptr) == 0);
    auto m = memory::create("thing", 256 * mib, 4096).value();
    REQUIRE(m.reserve(0, 128 * mib));
    REQUIRE(bytes_held(m.fd()) == 128 * mib);
  });
  CHECK(end == exit_status::exited(0));
}

TEST_CASE("promise 20: a process that attaches and exits removes nothing, and the last holder's death removes all") {
  const std::string name = "thing of " + std::to_string(::getpid());
  // The processes that have it mapped. The kernel frees a memfd with its last mapping and descriptor.
  const auto holders = [&] {
    std::size_t n = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      if (std::atoi(entry.path().filename().c_str()) == 0) continue;  // not a process: "self" is one twice
      std::ifstream maps(entry.path() / "maps");
      for (std::string line; std::getline(maps, line);) {
        if (line.find(name) == std::string::npos) continue;
        ++n;
        break;
      }
    }
    return n;
  };
  auto m = memory::create(name, mib, mib).value();
  std::strcpy(reinterpret_cast<char*>(m.data()), "still here");
  owned_fd passed = copy_of(m);
  for (int i = 0; i < 3; ++i)
    CHECK(harness::forked([&] { return memory::attach(passed.duplicate(), "thing").value().size() == mib; }) ==
          exit_status::exited(0));
  CHECK(std::string(reinterpret_cast<char*>(m.data())) == "still here");
  harness::child holder([&] {
    for (;;) ::pause();
  });
  CHECK(holders() == 2);
  m = memory();
  passed.reset();
  CHECK(holders() == 1);  // lives on in the holder alone
  holder.kill();
  CHECK(holders() == 0);
}

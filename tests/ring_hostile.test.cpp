// SPDX-License-Identifier: BSD-3-Clause
// A pipe whose memory cannot be had, and a pipe whose memory somebody writes into: errors for its users, and nothing else.
#include "ring_messages.hpp"
#include "small_filesystem.hpp"

#include <csignal>
#include <random>

using namespace cloister;
using namespace cloister::detail;
using namespace ring_messages;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

constexpr std::size_t kib = 1024;

// Where things lie (docs/formats.md, "pipe"): direction d's tails, heads and uses.
constexpr std::size_t ends_at = 256, broken_at = 272;
constexpr std::size_t tail_at(unsigned d, unsigned level = 0) { return 384 + 640 * d + 8 * level; }
constexpr std::size_t head_at(unsigned d, unsigned level = 0) { return tail_at(d) + 128 + 8 * level; }
constexpr std::size_t first_record = 4096;

// The mapping as a hostile process sees it.
class raw {
 public:
  explicit raw(const ring& r) : memory_(memory::attach(owned_fd(::fcntl(r.fd(), F_DUPFD_CLOEXEC, 0)), "raw").value()) {}
  std::size_t size() const { return memory_.size(); }
  template <class T>
  T get(std::size_t at) const {
    return __atomic_load_n(reinterpret_cast<T*>(memory_.data() + at), __ATOMIC_SEQ_CST);
  }
  template <class T>
  void set(std::size_t at, T value) {
    __atomic_store_n(reinterpret_cast<T*>(memory_.data() + at), value, __ATOMIC_SEQ_CST);
  }

 private:
  memory memory_;
};

}  // namespace

TEST_CASE("promise 21: a pipe that finds no memory to grow says so, loses nothing, and works on within what it has") {
  const harness::small_filesystem tiny(400 * kib);
  if (tiny.path().empty()) {
    WARN("skipped: this user may not mount a tmpfs");
    return;
  }
  ring::options o;
  o.name = "p";
  CHECK(ring::create_in(harness::small_filesystem(16 * kib).file(), o) == errc::no_memory);
  const auto pipe = ring::create_in(tiny.file(), o).value();
  REQUIRE(put(*pipe, 0, 0, 100));
  const auto refused = put(*pipe, 0, 1, 500 * kib, 10s);
  REQUIRE(refused == errc::no_memory);
  CHECK_THAT(refused.error().text(), Contains("pipe 'p' send") && Contains("512000"));
  REQUIRE(put(*pipe, 0, 1, 100 * kib));  // this much can be had
  std::uint64_t n = 2;
  while (put(*pipe, 0, n, 20 * kib)) ++n;
  CHECK(put(*pipe, 0, n, 20 * kib) == errc::no_memory);
  CHECK(put(*pipe, 0, n, 20 * kib, 5ms) == errc::no_memory);
  CHECK(arrives(*pipe, 0, message(0, 100)));
  CHECK(arrives(*pipe, 0, message(1, 100 * kib)));
  for (std::uint64_t i = 2; i < n; ++i) REQUIRE(arrives(*pipe, 0, message(i, 20 * kib)));
  CHECK(get(*pipe, 0) == errc::would_block);
  // Whatever a level kept from before serves another one, and the same one further on.
  for (const std::size_t size : {300 * kib, 60 * kib, 300 * kib, 3 * kib, 300 * kib, 200 * kib}) {
    REQUIRE(put(*pipe, 0, size, size));
    REQUIRE(arrives(*pipe, 0, message(size, size)));
  }
  // A writer of small messages waits: growing fails, but the reader gets on.
  harness::child writer([&] {
    pipe->take_over(0);
    for (std::uint64_t i = 0; i < 500; ++i) REQUIRE(put(*pipe, 0, i, 3000, deadline::never()));
  });
  for (std::uint64_t i = 0; i < 500; ++i) {
    if (i % 100 == 0) std::this_thread::sleep_for(5ms);
    REQUIRE(arrives(*pipe, 0, message(i, 3000), deadline::never()));
  }
  CHECK(writer.wait() == exit_status::exited(0));
}

TEST_CASE("every impossible value of a shared word breaks this pipe for both ends, for good, and no other") {
  const auto pipe = make(), bystander = make();
  REQUIRE(put(*bystander, 0, 5, 500));
  for (std::uint64_t i = 0; i < 3; ++i) REQUIRE(put(*pipe, 0, i, 100));
  REQUIRE(arrives(*pipe, 0, message(0, 100)));
  raw r(*pipe);
  constexpr std::uint64_t head = 112, tail = 3 * 112;
  REQUIRE((r.get<std::uint64_t>(tail_at(0)) == tail && r.get<std::uint64_t>(head_at(0)) == head));
  constexpr std::size_t record = first_record + 112;
  struct lie {
    std::size_t at;
    std::uint64_t value;
    bool reader_sees;
  };
  const auto l =
      GENERATE(lie{tail_at(0), tail + 20'000, true}, lie{tail_at(0), head - 8, true}, lie{tail_at(0), ~std::uint64_t{7}, true},
               lie{tail_at(0), tail + 112, true},  // a record that was never written: seen after those that were
               lie{record, 101, true}, lie{record, ~std::uint64_t{0}, true}, lie{record, 0, true}, lie{head_at(0), tail + 8, false},
               lie{head_at(0), head + 4, false}, lie{head_at(0, 1), 8, false});
  INFO("at " << l.at << ": " << l.value);
  r.set(l.at, l.value);
  const auto fresh = attach(*pipe);
  if (l.reader_sees) {
    auto got = get(*fresh, 0);
    for (int i = 0; got && i < 2; ++i) got = get(*fresh, 0);
    CHECK(got == errc::broken);
  } else {
    // The writer looks at heads when it needs room, or when it is new.
    CHECK(put(*pipe, 0, 9, 100 * kib) == errc::broken);
  }
  CHECK(pipe->is_broken());
  r.set(l.at, l.at < 4096 ? (l.at == tail_at(0) ? tail : head) : 0);
  for (const auto* p : {pipe.get(), fresh.get()}) {
    CHECK(put(const_cast<ring&>(*p), 0, 9, 10) == errc::broken);
    CHECK(put(const_cast<ring&>(*p), 1, 9, 10) == errc::broken);
    CHECK(get(const_cast<ring&>(*p), 0) == errc::broken);
    CHECK(get(const_cast<ring&>(*p), 1, 10s) == errc::broken);
  }
  CHECK(arrives(*bystander, 0, message(5, 500)));
}

TEST_CASE("links that go back, round or nowhere are found out") {
  const auto pipe = make();
  REQUIRE(put(*pipe, 0, 1, 100 * kib));  // the path goes to level 2
  raw r(*pipe);
  const auto link = GENERATE(5U, 6U, 7U);  // there are levels 0 to 4
  r.set<std::uint64_t>(tail_at(0), link);
  CHECK(get(*attach(*pipe), 0) == errc::broken);
  const auto other = make();
  REQUIRE(put(*other, 0, 1, 100 * kib));
  REQUIRE(get(*other, 0));
  raw s(*other);
  s.set<std::uint64_t>(tail_at(0, 2), s.get<std::uint64_t>(tail_at(0, 2)) | 1);  // back
  CHECK(get(*attach(*other), 0) == errc::broken);
}

TEST_CASE("breaking wakes whoever sleeps") {
  spin_budget::set_spinning(false);
  const auto pipe = make(16 * kib);
  while (put(*pipe, 0, 0, 1000)) {}
  harness::child writer([&] { return put(*pipe, 0, 0, 1000, deadline::never()) == errc::broken; });
  harness::child reader([&] { return get(*pipe, 1, deadline::never()) == errc::broken; });
  REQUIRE(harness::eventually([&] { return harness::asleep(writer.pid()) && harness::asleep(reader.pid()); }));
  raw(*pipe).set<std::uint64_t>(first_record, 77);
  CHECK(get(*pipe, 0) == errc::broken);
  CHECK(writer.wait() == exit_status::exited(0));
  CHECK(reader.wait() == exit_status::exited(0));
  spin_budget::set_spinning(true);
}

// Only errors, garbage caught by nobody but the decoder, and waiting until a deadline are allowed; no crash, no endless loop.
TEST_CASE("a process that writes random words into a pipe in use harms nobody but this pipe", "[deadline:120]") {
  const unsigned seed = GENERATE(range(0U, 40U / static_cast<unsigned>(harness::slowdown)));
  const auto pipe = make(300 * kib);
  const auto bystander = make();
  raw r(*pipe);
  harness::child hostile([&] {
    std::mt19937_64 random(seed);
    for (int i = 0;; ++i) {
      const auto at = seed % 2 == 0 ? random() % 1700 / 4 * 4 : random() % (r.size() / 8) * 8;  // the words, or anywhere
      switch (random() % 4) {
        case 0: r.set<std::uint32_t>(at, static_cast<std::uint32_t>(random())); break;
        case 1: r.set<std::uint32_t>(at, r.get<std::uint32_t>(at) ^ (1U << random() % 32)); break;
        case 2: r.set<std::uint32_t>(at, r.get<std::uint32_t>(at) + 8); break;
        case 3: r.set<std::uint32_t>(at, static_cast<std::uint32_t>(random() % 8)); break;
      }
      if (i % 64 == 0) std::this_thread::yield();
    }
  });
  const auto runs = [&](bool writes) {
    return [&, writes] {
      std::mt19937 random(seed);
      const deadline end(100ms);
      while (!end.has_passed()) {
        pipe->take_over(writes ? 0 : 1);  // so that being broken does not end the test
        r.set<std::uint32_t>(broken_at, 0);
        r.set<std::uint64_t>(ends_at, 0);
        r.set<std::uint64_t>(ends_at + 8, 0);
        for (int i = 0; i < 50; ++i) {
          if (writes) static_cast<void>(put(*pipe, 0, 1, random() % 20'000, std::chrono::microseconds(random() % 500)));
          else static_cast<void>(get(*pipe, 0, std::chrono::microseconds(random() % 500)));
        }
      }
    };
  };
  harness::child writer(runs(true)), reader(runs(false));
  for (std::uint64_t i = 0; i < 1000; ++i) {
    REQUIRE(put(*bystander, 0, i, 500));
    REQUIRE(arrives(*bystander, 0, message(i, 500)));
  }
  CHECK(writer.wait() == exit_status::exited(0));
  CHECK(reader.wait() == exit_status::exited(0));
}

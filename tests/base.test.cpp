// SPDX-License-Identifier: BSD-3-Clause
// Errors, results, deadlines, descriptors: what everything else stands on.
#include <cloister/deadline.hpp>
#include <cloister/error.hpp>
#include <cloister/fd.hpp>

#include "harness.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <csignal>
#include <limits>
#include <memory>
#include <set>

using namespace cloister;
using namespace std::chrono_literals;

namespace {

result<int> half(int n) {
  if (n % 2 != 0) return {errc::invalid, "half: " + std::to_string(n) + " is odd"};
  return n / 2;
}

template <class Call>
failure thrown_by(Call call) {
  try {
    static_cast<void>(call());
  } catch (const failure& f) { return f; }
  throw std::logic_error("no failure was thrown");
}

}  // namespace

// ---- result ----

TEST_CASE("a result with a value gives it by star, arrow and value()") {
  result<std::string> r = "five";
  REQUIRE(r);
  REQUIRE(*r == "five");
  REQUIRE(r->size() == 4);
  REQUIRE(r.value() == "five");
  REQUIRE_FALSE(r == errc::timed_out);
  *r += "!";
  REQUIRE(std::as_const(r).value() == "five!");
}

TEST_CASE("star, arrow and value() of a result with an error throw its failure") {
  const auto odd = half(3);
  REQUIRE_FALSE(odd);
  REQUIRE(odd == errc::invalid);
  REQUIRE(odd != errc::closed);
  for (const auto& f :
       {thrown_by([&] { return *odd; }), thrown_by([&] { return odd.value(); }), thrown_by([] { return *half(5); })}) {
    REQUIRE(f.code() == errc::invalid);
    REQUIRE(std::string(f.what()).starts_with("half: "));
    REQUIRE(f.error().text() == f.what());
  }
  const result<std::string> none(errc::closed, "queue 'q' get: closed");
  REQUIRE(thrown_by([&] { return none->size(); }).code() == errc::closed);
}

TEST_CASE("error() of a result with a value throws invalid and does not return rubbish") {
  const auto fine = half(4);
  REQUIRE(thrown_by([&] { return fine.error(); }).code() == errc::invalid);
}

TEST_CASE("a result holds and gives up a move-only value") {
  result<std::unique_ptr<int>> r = std::make_unique<int>(7);
  const std::unique_ptr<int> out = *std::move(r);
  REQUIRE(*out == 7);
}

TEST_CASE("a result of nothing says only whether it worked") {
  const result<void> fine;
  REQUIRE(fine);
  REQUIRE_NOTHROW(fine.value());
  const result<void> closed(errc::closed, "queue 'q' put: closed");
  REQUIRE(closed == errc::closed);
  REQUIRE(thrown_by([&] { return closed.value(), 0; }).code() == errc::closed);
}

TEST_CASE("value_or gives the value or the other one") {
  REQUIRE(half(8).value_or(-1) == 4);
  REQUIRE(half(9).value_or(-1) == -1);
}

// ---- error and exit_status ----

TEST_CASE("every kind of error has a name of its own") {
  std::set<std::string_view> names;
  for (unsigned code = 0; code <= static_cast<unsigned>(errc::unsupported); ++code)
    names.insert(to_string(static_cast<errc>(code)));
  REQUIRE(names.size() == static_cast<unsigned>(errc::unsupported) + 1);
  REQUIRE_FALSE(names.contains("unknown errc"));
  REQUIRE(to_string(static_cast<errc>(255)) == "unknown errc");
}

TEST_CASE("an error carries the peer's end only where a peer ended") {
  const error plain(errc::closed, "closed");
  REQUIRE(plain.exit() == nullptr);
  const error down(errc::peer_down, "pipe 'p' recv: peer 'parser' (pid 12) killed by SIGKILL", exit_status::signaled(SIGKILL));
  const error copy = down;
  REQUIRE(copy.exit() != nullptr);
  REQUIRE(copy.exit()->signal() == SIGKILL);
}

TEST_CASE("an exit status says code, signal or exception, in one phrase") {
  const auto three = exit_status::exited(3);
  REQUIRE(three.code() == 3);
  REQUIRE_FALSE(three.signal());
  REQUIRE(three.text() == "exit 3");
  REQUIRE_FALSE(three.success());
  REQUIRE(exit_status::exited(0).success());

  const auto killed = exit_status::signaled(SIGKILL);
  REQUIRE_FALSE(killed.code());
  REQUIRE(killed.signal() == SIGKILL);
  REQUIRE(killed.text() == "killed by SIGKILL");
  REQUIRE(exit_status::signaled(50).text() == "killed by signal 50");

  const auto threw = exit_status::threw("std::runtime_error", "no such file");
  REQUIRE(threw.code() == 1);
  REQUIRE(threw.exception_type() == "std::runtime_error");
  REQUIRE(threw.text() == "std::runtime_error: no such file");
  REQUIRE(exit_status::threw("int", "").text() == "int");
  REQUIRE_FALSE(threw == exit_status::exited(1));

  const exit_status unknown;
  REQUIRE_FALSE(unknown.known());
  REQUIRE_FALSE(unknown.success());
  REQUIRE(unknown.text() == "unknown");
}

// ---- deadline ----

TEST_CASE("a deadline too far away means for ever") {
  for (const deadline d : {deadline(std::chrono::nanoseconds::max()), deadline(std::chrono::hours::max()), deadline(1e300s),
                           deadline(std::chrono::duration<double>(std::numeric_limits<double>::infinity())),
                           deadline(std::chrono::steady_clock::time_point::max()), deadline::never()}) {
    REQUIRE(d.is_never());
    REQUIRE_FALSE(d.has_passed());
    REQUIRE(d.remaining_ns() == std::numeric_limits<std::int64_t>::max());
    REQUIRE(d.remaining_ms() == -1);
  }
}

TEST_CASE("a deadline of nothing, of the past or of no number has passed") {
  for (const deadline d :
       {deadline(0s), deadline(-5s), deadline(std::chrono::nanoseconds::min()), deadline(std::chrono::steady_clock::now() - 1s),
        deadline(std::chrono::steady_clock::time_point::min()), deadline(std::chrono::system_clock::now() - 24h),
        deadline(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())), deadline::passed()}) {
    REQUIRE(d.has_passed());
    REQUIRE(d.remaining_ns() == 0);
    REQUIRE(d.remaining_ms() == 0);
  }
}

TEST_CASE("a deadline is made from durations and time points of any clock") {
  for (const deadline d : {deadline(10s), deadline(10'000ms), deadline(std::chrono::duration<float>(10)),
                           deadline(std::chrono::steady_clock::now() + 10s), deadline(std::chrono::system_clock::now() + 10s)}) {
    REQUIRE_FALSE(d.has_passed());
    REQUIRE_FALSE(d.is_never());
    REQUIRE(d.remaining_ns() <= 10'000'000'000);
    REQUIRE(d.remaining_ns() > 5'000'000'000);
    REQUIRE(d.remaining_ms() <= 10'000);
  }
}

TEST_CASE("milliseconds left are rounded up, so that poll does not spin, and bounded by a day") {
  const deadline soon = 300us;
  REQUIRE((soon.remaining_ms() == 1 || soon.has_passed()));
  REQUIRE(deadline(100h).remaining_ms() == 86'400'000);
}

TEST_CASE("deadlines compare as the times they are") {
  REQUIRE(deadline::passed() < deadline(1s));
  REQUIRE(deadline(1s) < deadline(1h));
  REQUIRE(deadline(1h) < deadline::never());
  REQUIRE(deadline::never() == deadline());
}

// ---- owned_fd ----

TEST_CASE("a descriptor is closed by its owner, once") {
  const auto before = harness::open_descriptors();
  {
    owned_fd a(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    REQUIRE(a);
    owned_fd b = std::move(a);
    REQUIRE_FALSE(a);  // NOLINT(bugprone-use-after-move)
    REQUIRE(harness::open_descriptors().size() == before.size() + 1);
    owned_fd c(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
    c = std::move(b);
    REQUIRE(harness::open_descriptors().size() == before.size() + 1);
    auto& same = c;
    c = std::move(same);
    REQUIRE(c);
  }
  REQUIRE(harness::open_descriptors() == before);
}

TEST_CASE("a released descriptor is left open") {
  owned_fd a(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int fd = a.release();
  REQUIRE_FALSE(a);
  REQUIRE(::fcntl(fd, F_GETFD) >= 0);
  ::close(fd);
}

TEST_CASE("a duplicate is another descriptor of the same file and is closed on exec") {
  const owned_fd a(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const owned_fd b = a.duplicate();
  REQUIRE(b);
  REQUIRE(b.get() != a.get());
  REQUIRE((::fcntl(b.get(), F_GETFD) & FD_CLOEXEC) != 0);
  REQUIRE_FALSE(owned_fd().duplicate());
}

TEST_CASE("a duplicate is empty when the process has no descriptor left") {
  const auto ended = harness::forked([] {
    const owned_fd a(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const rlimit none{static_cast<rlim_t>(a.get() + 1), static_cast<rlim_t>(a.get() + 1)};
    ::setrlimit(RLIMIT_NOFILE, &none);
    return !a.duplicate();
  });
  REQUIRE(ended.text() == "exit 0");
}

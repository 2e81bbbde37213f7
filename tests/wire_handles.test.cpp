// SPDX-License-Identifier: BSD-3-Clause
// Handles and descriptors in messages as far as wire.hpp has a part in it, codecs of one's own, and those of the library's plain types.
#include "harness.hpp"
#include "wire_samples.hpp"

#include <fcntl.h>
#include <unistd.h>

using namespace cloister;

namespace {

/// Stands for a hub: keeps what is put, gives it to who decodes.
struct fake_hub : detail::handle_sink, detail::handle_source {
  std::uint64_t put_object(detail::attachment& object, unsigned role) override {
    objects.push_back({&object, role});
    return 100 + objects.size() - 1;
  }
  std::uint64_t put_fd(int fd) override {
    fds.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    return fds.size() - 1;
  }
  std::shared_ptr<detail::attachment> take_object(std::uint64_t number, std::uint64_t object, unsigned role,
                                                  std::uint64_t) override {
    const auto& [kept, kept_role] = objects.at(number - 100);
    if (object != 7 || role != kept_role) throw failure(errc::wrong_type, "another");
    return {std::shared_ptr<int>(), kept};  // not owned, never looked at
  }
  owned_fd take_fd(std::uint64_t number) override {
    if (number >= fds.size()) throw failure(errc::gone, "fake hub: no such descriptor");
    return fds[number].duplicate();
  }
  std::vector<std::pair<detail::attachment*, unsigned>> objects;
  std::vector<owned_fd> fds;
};

/// As a queue's handle will be: a type that is complete only later is fine, also one that contains the handle.
template <class T>
struct fake_handle {
  detail::attachment* object = nullptr;
};
struct request {
  int n = 0;
  fake_handle<request> reply;
};
struct other_request {
  int n = 0;
  fake_handle<std::string> reply;
};

struct job {
  std::string name;
  owned_fd log;
  std::optional<owned_fd> more;
  std::vector<owned_fd> rest;
};

struct silent {
  int n = 0;
};
struct quick {
  int n = 0;
};

bool same_file(const owned_fd& a, const owned_fd& b) {
  char from[2] = "x";
  // A byte written through one is read through the other's pipe end.
  return ::write(a.get(), from, 1) == 1 && ::read(b.get(), from + 1, 1) == 1 && from[1] == 'x';
}

}  // namespace

template <class T>
struct cloister::codec<fake_handle<T>> {
  static constexpr std::uint64_t fingerprint = 1000;
  using element = T;
  static void put(encoder& out, const fake_handle<T>& h) {
    out.value(out.need_handles(detail::type_name<fake_handle<T>>).put_object(*h.object, 2));
    out.value(std::uint64_t{7});
  }
  static fake_handle<T> get(decoder& in) {
    const auto number = in.value<std::uint64_t>();
    const auto object = in.value<std::uint64_t>();
    return {in.need_handles(detail::type_name<fake_handle<T>>).take_object(number, object, 2, cloister::fingerprint<T>()).get()};
  }
};
template <>
struct cloister::codec<silent> {
  static constexpr std::uint64_t fingerprint = 1001;
  static void put(encoder&, const silent&) {}
  static silent get(decoder&) { return {}; }
};
/// Its bytes are hand-written although it could travel without.
template <>
struct cloister::codec<quick> {
  static constexpr std::uint64_t fingerprint = 1002;
  static void put(encoder& out, const quick& q) { out.raw(&q.n, 1); }
  static quick get(decoder& in) {
    const int n = static_cast<int>(*in.take(1, "quick"));
    if (n > 99) in.fail("quick", "is above 99");
    return {n};
  }
};

TEST_CASE("descriptors travel by number, and the receiver gets duplicates") {
  const auto before = harness::open_descriptors();
  {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    owned_fd reading(ends[0]);
    job sent{"a", owned_fd(ends[1]), {}, {}};
    sent.rest.push_back(sent.log.duplicate());
    sent.rest.emplace_back();
    fake_hub hub;
    encoder out(&hub);
    out.value(sent);
    REQUIRE(hub.fds.size() == 2);
    sent = job{};
    const auto received = decode<job>(out.bytes(), &hub);
    REQUIRE((received.name == "a" && received.log && !received.more && received.rest.size() == 2 && !received.rest[1]));
    REQUIRE(same_file(received.log, reading));
    REQUIRE(same_file(received.rest[0], reading));
  }
  REQUIRE(harness::open_descriptors() == before);
}

TEST_CASE("descriptors received before a message turns out to be undecodable are closed") {
  const auto before = harness::open_descriptors();
  {
    fake_hub hub;
    job sent{"a", owned_fd(::open("/dev/null", O_RDWR | O_CLOEXEC)), {}, {}};
    sent.rest.push_back(sent.log.duplicate());
    encoder out(&hub);
    out.value(sent);
    const auto while_sent = harness::open_descriptors();
    for (std::size_t n = 0; n < out.size(); ++n) REQUIRE(try_decode<job>(out.bytes().first(n), &hub) == errc::undecodable);
    REQUIRE(harness::open_descriptors() == while_sent);
  }
  REQUIRE(harness::open_descriptors() == before);
}

TEST_CASE("without a mailbox a descriptor does not travel, and says so") {
  encoder out;
  out.value(1);
  const owned_fd fd(::dup(2));
  try {
    out.value(std::make_pair(std::string("before"), std::optional<owned_fd>()));
    out.value(job{"x", fd.duplicate(), {}, {}});
    FAIL("encoded");
  } catch (const failure& f) {
    REQUIRE(f.code() == errc::invalid);
    REQUIRE_THAT(f.what(), Catch::Matchers::Contains("encode of 'cloister::owned_fd'"));
  }
  const std::vector<std::byte> bytes(9, std::byte{1});
  REQUIRE(try_decode<owned_fd>(bytes) == errc::undecodable);
}

TEST_CASE("what the source of handles throws is what decode throws") {
  fake_hub hub;
  const std::vector<std::byte> bytes(9, std::byte{1});
  REQUIRE(try_decode<owned_fd>(bytes, &hub) == errc::gone);
}

TEST_CASE("a handle may be inside the type it is a handle of") {
  STATIC_REQUIRE(travels<request>);
  STATIC_REQUIRE(!is_flat<request>);
  STATIC_REQUIRE(fingerprint<request>() != fingerprint<other_request>());
  fake_hub hub;
  int stands_for_an_object = 0;
  auto& object = reinterpret_cast<detail::attachment&>(stands_for_an_object);
  encoder out(&hub);
  out.value(request{5, {&object}});
  REQUIRE(decode<request>(out.bytes(), &hub).reply.object == &object);
}

TEST_CASE("a codec comes before everything else") {
  STATIC_REQUIRE(fingerprint<quick>() != fingerprint<silent>());
  REQUIRE(encode(quick{5}).size() == 1);
  REQUIRE(decode<std::vector<quick>>(encode(std::vector<quick>{{1}, {2}}))[1].n == 2);
  const std::vector<std::byte> bytes{std::byte{100}};
  REQUIRE(try_decode<quick>(bytes).error().text() ==
          "decode of '" + detail::readable(detail::type_name<quick>) + "': 'quick': is above 99");
}

TEST_CASE("a codec that writes nothing is told so, because a count of such things could not be checked") {
  encoder out;
  REQUIRE_THROWS_AS(out.value(silent{}), failure);
  REQUIRE_THROWS_AS(out.value(std::vector<silent>(3)), failure);
  REQUIRE(out.size() == 0);
}

TEST_CASE("errors travel with their kind, text and exit") {
  const auto again = [](const cloister::error& e) { return decode<cloister::error>(encode(e)); };
  const auto plain = again({errc::closed, "queue 'q' get: closed"});
  REQUIRE((plain.code() == errc::closed && plain.text() == "queue 'q' get: closed" && plain.exit() == nullptr));
  const auto down = again({errc::peer_down, "down", exit_status::signaled(11)});
  REQUIRE((down.code() == errc::peer_down && down.exit() != nullptr && *down.exit() == exit_status::signaled(11)));
  auto bytes = encode(cloister::error(errc::closed, ""));
  bytes[0] = std::byte{200};
  REQUIRE(try_decode<cloister::error>(bytes) == errc::undecodable);
}

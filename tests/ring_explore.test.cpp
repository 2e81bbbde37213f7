// SPDX-License-Identifier: BSD-3-Clause
// The pipe's own lane code, with levels of a few bytes, under every interleaving up to a bound: order and content are
// kept while the path grows, starts anew and its memory is given back, and while an owner dies and a next one takes over.
#include "explore.hpp"
#include "harness.hpp"

#include <cloister/detail/ring_reader.hpp>
#include <cloister/detail/ring_writer.hpp>

namespace {

using namespace cloister::detail;
using cloister::deadline;

// Memory that knows which bytes are reserved, and spoils what is given back.
struct spoiling_store {
  std::vector<std::byte>* bytes;
  std::vector<bool>* reserved;
  bool reserve(std::size_t offset, std::size_t n) const {
    explore::step();
    for (std::size_t i = offset; i < offset + n; ++i) {
      if (!(*reserved)[i]) (*bytes)[i] = std::byte{0};
      (*reserved)[i] = true;
    }
    return true;
  }
  void release(std::size_t offset, std::size_t n) const {
    explore::step();
    for (std::size_t i = offset; i < offset + n; ++i) {
      (*bytes)[i] = std::byte{0xee};
      (*reserved)[i] = false;
    }
  }
};

using writer = lane_writer<explore::platform, spoiling_store>;
using reader = lane_reader<explore::platform, spoiling_store>;

// Level 0: four records of one word; level 1: four of seven words; level 2: the same and more.
struct pipe_state {
  basic_lane<explore::platform> lane{};
  lane_geometry geometry;
  std::vector<std::byte> bytes;
  std::vector<bool> reserved;
  std::vector<unsigned> words;   // message i has words[i] words, each with the value i
  unsigned put = 0, popped = 0;  // calls that returned
  bool wrong = false;

  explicit pipe_state(std::vector<unsigned> sizes) : words(std::move(sizes)) {
    geometry.levels[0] = {0, 64};
    geometry.levels[1] = {64, 256};
    geometry.levels[2] = {320, 1024};
    geometry.count = 3;
    geometry.max_bytes = 1024;
    bytes.assign(1344, std::byte{0xee});
    reserved.assign(1344, false);
    for (std::size_t i = 0; i < 64; ++i) reserved[i] = true;
    geometry.base = bytes.data();
  }
  spoiling_store store() { return {&bytes, &reserved}; }

  // Puts the messages from `put` on.
  void write(bool grows) {
    writer w(lane, geometry, store());
    if (w.take_over() != lane_outcome::done) wrong = true;
    while (put < words.size()) {
      const std::vector<std::uint64_t> message(words[put], put);
      auto outcome = w.put(std::as_bytes(std::span(message)), false);
      if (outcome == lane_outcome::nothing && grows) outcome = w.put(std::as_bytes(std::span(message)), true);
      if (outcome == lane_outcome::nothing)
        lane.space.wait([&] { return (outcome = w.put(std::as_bytes(std::span(message)), false)) != lane_outcome::nothing; },
                        deadline::never());
      if (outcome != lane_outcome::done) wrong = true;
      ++put;
      lane.data.notify_one();
    }
  }

  // Reads until the last message was read.
  void read(bool trims) {
    reader r(lane, geometry, store());
    if (r.take_over() != lane_outcome::done) wrong = true;
    if (r.settled()) lane.space.notify_one();
    unsigned next = popped;
    bool first = true;
    while (next < words.size()) {
      auto outcome = lane_outcome::nothing;
      lane.data.wait([&] { return (outcome = r.find()) != lane_outcome::nothing; }, deadline::never());
      if (outcome != lane_outcome::done) {
        wrong = true;
        return;
      }
      explore::step();  // between finding and copying
      const ring_message m = r.message();
      std::vector<std::uint64_t> got(m.size() / 8);
      m.copy_to(reinterpret_cast<std::byte*>(got.data()));
      // A reader that took over may not know of the predecessor's last pop, a reader after a new writer of its last put.
      const auto value = got.empty() ? 0 : got[0];
      if (first && value == next + 1) next = static_cast<unsigned>(value);
      first = false;
      if (value != next || got != std::vector<std::uint64_t>(words[next], next)) wrong = true;
      for (auto part : {m.first, m.second})
        for (const auto& b : part)
          if (!reserved[static_cast<std::size_t>(&b - bytes.data())]) wrong = true;
      r.pop();
      popped = ++next;
      lane.space.notify_one();
      if (trims && r.trim_all()) lane.space.notify_one();
    }
  }
};

enum class victim { none, writing_end, reading_end };
struct setting {
  const char* what;
  std::vector<unsigned> words;
  bool grows, trims;
  victim who;
  unsigned preemptions;
};

explore::result explore_pipe(const setting& s) {
  return explore::run({.preemptions = s.preemptions, .kills = s.who == victim::none ? 0U : 1U}, [&s](explore::world& w) {
    auto p = std::make_shared<pipe_state>(s.words);
    w.process([p, &s] { p->write(s.grows); }, s.who == victim::writing_end ? explore::mortal : explore::immortal);
    w.process([p, &s] { p->read(s.trims); }, s.who == victim::reading_end ? explore::mortal : explore::immortal);
    w.after_death([p, &s] {
      p->lane.data.notify_all();
      p->lane.space.notify_all();
      if (s.who == victim::reading_end) return p->read(s.trims);
      // The next owner learns from the lane how many messages are in it; here, from the position.
      std::uint64_t position = 0;
      for (unsigned l = 0; l < 3; ++l) position += position_of(p->lane.tail[l].peek());
      unsigned there = 0;
      for (std::uint64_t sum = 0; sum < position; ++there) sum += record_bytes(p->words[there] * 8);
      if (there != p->put && there != p->put + 1) p->wrong = true;
      p->put = there;
      p->write(s.grows);
    });
    w.at_end([p](explore::ending e) { return e.all_ended && !p->wrong && p->popped == p->words.size(); });
  });
}

}  // namespace

TEST_CASE("no interleaving of a pipe's two sides reorders, tears or loses a message", "[deadline:240]") {
  const auto s = GENERATE(setting{"waiting for room", {1, 1, 1, 1, 1, 1}, false, false, victim::none, 2},
                          setting{"growing", {1, 1, 1, 1, 1, 1}, true, false, victim::none, 2},
                          setting{"up, back and up again", {1, 5, 1, 5, 1}, false, false, victim::none, 2},
                          setting{"up twice, back half", {5, 20, 5, 1, 20}, false, false, victim::none, 2},
                          setting{"giving memory back", {5, 1, 5, 20, 5}, false, true, victim::none, 2},
                          setting{"giving back while growing", {5, 5, 5, 5, 5}, true, true, victim::none, 2});
  const auto r = explore_pipe(s);
  INFO(s.what << ": " << r.executions << " executions, " << r.trace);
  CHECK(r.ok);
  CHECK(r.complete);
}

TEST_CASE("a next owner of either end goes on wherever its predecessor was killed", "[deadline:240]") {
  const auto s = GENERATE(setting{"writer", {1, 1, 5, 1}, false, false, victim::writing_end, 1},
                          setting{"writer, growing", {1, 1, 1, 1, 1, 1}, true, false, victim::writing_end, 1},
                          setting{"writer, while memory is given back", {5, 1, 20, 5}, false, true, victim::writing_end, 1},
                          setting{"reader", {1, 1, 5, 1}, false, false, victim::reading_end, 1},
                          setting{"reader, giving memory back", {5, 1, 20, 5}, false, true, victim::reading_end, 1});
  const auto r = explore_pipe(s);
  INFO(s.what << " dies: " << r.executions << " executions, " << r.trace);
  CHECK(r.ok);
  CHECK(r.complete);
}

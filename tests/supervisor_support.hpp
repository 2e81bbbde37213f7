// SPDX-License-Identifier: BSD-3-Clause
// For tests of supervisors over real processes: what they report, and children that end in the way they are told.
#pragma once

#include "process_support.hpp"

#include <cloister/supervisor.hpp>
#include <cloister/testing.hpp>

#include <algorithm>
#include <csignal>
#include <functional>

#include <fcntl.h>
#include <unistd.h>

namespace support {

using namespace cloister;

using kind = supervision_report::kind;

inline pid_t pid_of(const supervisor& s, const std::string& id) { return s.which_child(id).process.value().pid; }

template <class Call>
errc refused(Call call) {
  try {
    call();
  } catch (const failure& f) { return f.code(); }
  return errc::timed_out;
}

/// Waits until it holds; of supervisors that may be away for a moment.
inline bool soon(const std::function<bool()>& holds) { return testing::eventually(holds, 30s); }

/// All reports until the supervisor has stopped.
inline std::vector<supervision_report> reports_to_the_end(const queue<supervision_report>& from) {
  std::vector<supervision_report> all;
  do all.push_back(from.get(50s).value());
  while (all.back().what != kind::stopped);
  return all;
}

/// How a child ended by itself or was ended, and that it was reported so.
inline exit_status exit_of(const std::vector<supervision_report>& all, const std::string& id, kind what = kind::ended) {
  for (const auto& r : all)
    if (r.child.id == id && r.what == what) return r.exit;
  return {};
}

/// A pipe whose reading end children wait at until the test opens it.
struct gate {
  gate() {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    waiting = owned_fd(ends[0]);
    closed = owned_fd(ends[1]);
  }
  void open() { closed.reset(); }
  static void wait_at(const owned_fd& waiting) {
    char none;
    while (::read(waiting.get(), &none, 1) < 0 && errno == EINTR) {}
  }
  owned_fd waiting, closed;
};

inline void sleep_until_asked() {
  try {
    sleep_long();
  } catch (const failure&) {}
}

/// The ways for a process to end by itself.
enum way : int { returns, is_asked, has_a_note, exits_with_3, throws, is_killed };
inline constexpr int ways = 6;
inline void end_in_way(int how) {
  switch (how) {
    case returns: return;
    case is_asked: ::raise(SIGTERM); return sleep_long();
    case has_a_note: throw orderly_end("enough");
    case exits_with_3: ::_exit(3);
    case throws: throw std::runtime_error("no");
    default: ::raise(SIGKILL);
  }
}
inline bool is_normal(int how) { return how <= has_a_note; }

}  // namespace support

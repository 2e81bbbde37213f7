// SPDX-License-Identifier: BSD-3-Clause
// Model of one direction of a pipe: levels of growing size, links between them, memory given back and taken again.
//
// Source: framework/cloister/detail/ring_lane.hpp, ring_writer.hpp, ring_reader.hpp, and the waiting in ring.cpp.
// Checked: the reader gets every committed message once and in order, never half of one; nobody touches memory that is not
// there or writes over what is unread; nobody sleeps although there is a message or room, even if nobody reads on ("lazy").
// Configuration: three levels of 2, 2 and 4 cells, messages of one cell or two, at most 5; both ends killed at every step
// and taken over by another process; a shortage of memory; growth after waiting in vain; level 2 is given back as soon as
// it is read empty, all levels when the reader idles.
// tests/ring_explore.test.cpp runs the real code in interleavings up to a bound. Not here: wrong bytes, positions that wrap.
// Sequential consistency is assumed. States: 20 193 to 1 133 730 a run; 11 mutants, all detected. Two of them were found in
// the code: a trim that gives nothing back after all, and a take-over that settles one, must notify the writer too.
// Longer than a file should be, because it is one state machine.
#include "explore.hpp"

using models::successors;

namespace {

using u8 = std::uint8_t;
constexpr int levels = 3, cells = 4;
constexpr int capacity[levels] = {2, 2, 4};
constexpr u8 no_memory = 0, garbage = 1;  // a cell: no memory, reserved, or 1 + the number of the message that it holds a part of

struct config {
  int messages = 4, large = 0b0010;        // a set bit: that message takes two cells, else one
  int kills = 0, lazy = 0, shortages = 0;  // lazy: nobody may count on the reader to read on
  // mutants
  int no_look_below = 0, restart_early = 0, commit_early = 0, pop_early = 0, trim_unasked = 0, trim_unchecked = 0, link_late = 0,
      no_settle = 0, no_space_notify = 0, quiet_trim = 0, quiet_settle = 0, bare_unnoticed = 0;
};

enum use_state : u8 { bare, kept, writing, trimming };
enum pc : u8 {
  p_done,
  p_dead,
  w_take,
  w_path,
  w_begin,
  w_look,
  w_decide,
  w_claim,
  w_reserve,
  w_link,
  w_copy,
  w_commit,
  w_unuse,
  w_notify,
  w_full,
  w_asleep,
  r_take,
  r_settle,
  r_release_dead,
  r_settled,
  r_find,
  r_tail,
  r_below,
  r_copy,
  r_pop,
  r_notify,
  r_nothing,
  r_asleep,
  t_check,
  t_claim,
  t_again,
  t_release,
  t_store,
  t_notify,
};

struct writer {
  u8 pc, current, l, k, may_grow, grows, restart, announced, woken;
  u8 tail[levels], head_seen[levels], bare_from[levels], reserved_to[levels];
};
struct reader {
  u8 pc, level, tail_seen, l, k, below, empty, announced, woken, then, any;
  u8 head[levels];
};

struct model {
  struct state {
    u8 tail[levels], link[levels], head[levels], use[levels];  // tail and link are one word
    u8 cell[levels][cells];
    writer w;
    reader r;
    u8 committed, delivered, kills, shortages;
  };

  config c;
  explicit model(const config& conf) : c(conf) {}
  int size(int m) const { return (c.large >> (m - 1) & 1) ? 2 : 1; }
  static int best(int size) { return size == 1 ? 0 : 1; }

  state first() const {
    state s;
    std::memset(&s, 0, sizeof s);
    for (auto& x : s.cell[0]) x = garbage;
    s.w.pc = w_take, s.r.pc = r_take;
    s.kills = static_cast<u8>(c.kills), s.shortages = static_cast<u8>(c.shortages);
    return s;
  }

  bool good(const state& s) const {
    if (s.w.pc == p_done && s.r.pc == p_done) return true;
    if (!c.lazy || (s.r.pc != r_find && s.r.pc != p_done)) return false;
    return s.w.pc == p_done || (s.w.pc == w_asleep && !s.w.woken && !s.w.grows && place_for(s) < 0);
  }
  /// Where a put that may not grow could go now; -1: nowhere.
  int place_for(const state& s) const {
    const int need = size(s.committed + 1);
    int waiting = 0;
    for (int l = 0; l < levels; ++l) waiting += s.tail[l] - s.head[l];
    int l = best(need);
    if (waiting != 0) l = std::max(l, static_cast<int>(s.w.current));
    if (l == s.w.current && capacity[l] - (s.tail[l] - s.head[l]) < need) return -1;
    return l > 0 && s.use[l] == trimming ? -1 : l;
  }

  void next(const state& s, successors<state>& out) const {
    if (s.w.pc == p_dead) {
      state n = s;
      n.w = {};
      n.w.pc = w_take;
      out.add(n, 0, "another process takes the writing end over");
    } else if (s.w.pc != p_done) {
      write(s, out);
      if (s.kills > 0) {
        state n = s;
        --n.kills;
        n.w = {};
        n.w.pc = p_dead, n.r.woken = n.r.announced;
        out.forced(n, 0, "writer is killed");
      }
    }
    if (s.r.pc == p_dead) {
      state n = s;
      n.r = {};
      n.r.pc = r_take;
      out.add(n, 1, "another process takes the reading end over");
    } else if (s.r.pc != p_done) {
      read(s, out);
      if (s.kills > 0) {
        state n = s;
        --n.kills;
        n.r = {};
        n.r.pc = p_dead, n.w.woken = n.w.announced;
        out.forced(n, 1, "reader is killed");
      }
    }
  }

  void write(const state& s, successors<state>& out) const {
    state n = s;
    writer& q = n.w;
    const char* complaint = nullptr;
    auto go = [&](pc to, const char* label) {
      q.pc = to;
      out.add(n, 0, label, complaint);
    };
    const u8 m = static_cast<u8>(s.committed + 1);
    const int need = m <= c.messages ? size(m) : 0;
    switch (q.pc) {
      // ---- a new owner starts from the shared words
      case w_take: {
        const u8 l = q.k;
        q.tail[l] = q.bare_from[l] = q.reserved_to[l] = s.tail[l];
        q.head_seen[l] = static_cast<u8>(s.tail[l] - std::min<int>(s.tail[l], capacity[l]));
        if (s.use[l] == writing) n.use[l] = kept;
        return ++q.k < levels ? go(w_take, "writer: reads a level's words") : go(w_path, "writer: reads a level's words");
      }
      case w_path:
        q.k = q.current = 0;
        while (s.link[q.current] != 0) q.current = s.link[q.current];
        return go(w_begin, "writer: follows the path");
      // ---- put
      case w_begin:
        if (m > c.messages) {
          q = {};
          return go(p_done, "writer: has sent all");
        }
        q.k = q.l = 0;
        if (q.current == 0 && need == 1 && capacity[0] - (q.tail[0] - q.head_seen[0]) >= need)
          return go(w_copy, "put: the short way");
        return go(w_look, "put: begins");
      case w_look:
        q.head_seen[q.k] = s.head[q.k];
        return ++q.k < levels ? go(w_look, "put: reads a head") : go(w_decide, "put: reads a head");
      case w_decide: {
        int waiting = 0;
        for (int l = 0; l < levels; ++l) waiting += q.tail[l] - q.head_seen[l];
        int l = best(need);
        q.k = 0;
        if (waiting != 0 && !c.restart_early) l = std::max(l, static_cast<int>(q.current));
        if (l == q.current && capacity[l] - (q.tail[l] - q.head_seen[l]) < need) {
          if (!q.may_grow || l + 1 == levels) return go(w_full, "put: no room");
          ++l;
        }
        q.l = static_cast<u8>(l), q.restart = waiting == 0 || c.restart_early;
        if (l == 0) q.current = 0;
        return go(l == 0 ? w_copy : w_claim, "put: chooses a level");
      }
      case w_claim: {
        u8& use = n.use[q.l];
        if (use == trimming) {
          if (!q.may_grow || q.l + 1 == levels) return go(w_full, "put: the level is being given back");
          ++q.l;
          return go(w_claim, "put: the level is being given back, takes the next one");
        }
        if (use == bare && !c.bare_unnoticed) q.bare_from[q.l] = q.reserved_to[q.l] = q.tail[q.l];
        use = writing;
        return go(w_reserve, "put: use = writing");
      }
      case w_reserve: {
        if (s.shortages > 0) {
          state f = n;
          --f.shortages, f.use[q.l] = kept;
          f.w.l = f.w.may_grow = f.w.grows = f.w.restart = 0, f.w.pc = w_begin;
          out.forced(f, 0, "put: no memory, nothing was put");
        }
        const int to = q.tail[q.l] + need;
        if (q.reserved_to[q.l] - q.bare_from[q.l] < capacity[q.l])
          for (; q.reserved_to[q.l] < to; ++q.reserved_to[q.l])
            if (u8& x = n.cell[q.l][q.reserved_to[q.l] % capacity[q.l]]; x == no_memory) x = garbage;
        return go(q.l != q.current && !c.link_late ? w_link : w_copy, "put: reserves");
      }
      case w_link: {
        const u8 from = q.restart ? u8{0} : q.current;
        n.link[from] = q.l;
        q.current = q.l;
        if (c.link_late) return go(w_unuse, "put: links, late");
        return go(c.commit_early ? w_commit : w_copy, "put: links");
      }
      case w_copy:
        if (c.commit_early && s.tail[q.l] == q.tail[q.l] && m == s.committed + 1) return go(w_commit, "put: commits first");
        copy(n, m, complaint);
        return go(w_commit, "put: copies");
      case w_commit: {
        q.tail[q.l] = static_cast<u8>(q.tail[q.l] + need);
        n.tail[q.l] = q.tail[q.l], n.link[q.l] = 0;
        ++n.committed;
        if (c.commit_early) {  // the copy comes a step later
          q.k = 1;
          return go(w_unuse, "put: tail");
        }
        if (c.link_late && q.l != q.current) return go(w_link, "put: tail");
        return go(q.l > 0 ? w_unuse : w_notify, "put: tail");
      }
      case w_unuse:
        if (c.commit_early && q.k) {
          q.k = 0, q.tail[q.l] = static_cast<u8>(q.tail[q.l] - size(s.committed));
          copy(n, s.committed, complaint);
          q.tail[q.l] = s.tail[q.l];
          return go(w_unuse, "put: copies, late");
        }
        if (q.l > 0) n.use[q.l] = kept;
        return go(w_notify, "put: use = kept");
      case w_notify:
        if (n.r.announced) n.r.woken = 1;
        q.l = q.may_grow = q.grows = q.restart = q.announced = q.woken = q.k = 0;
        return go(w_begin, "put: notify data");
      // ---- waiting: it may grow once it has waited in vain
      case w_full:
        q.l = q.restart = q.k = 0;
        if (q.may_grow) {
          q.may_grow = q.grows = 0, q.announced = 1, q.woken = 0;
          return go(w_look, "put: cannot grow, announces itself");
        }
        if (!q.announced) {
          q.announced = q.grows = 1, q.woken = 0;
          return go(w_look, "put: announces itself");
        }
        return go(w_asleep, "put: falls asleep");
      case w_asleep:
        if (q.woken) {
          state a = n;
          a.w.woken = 0;
          a.w.pc = w_look;
          out.add(a, 0, "put: wakes up");
        }
        if (q.grows) {
          q.may_grow = 1, q.announced = q.woken = 0;
          return go(w_look, "put: has waited long enough");
        }
        return;
      default: return;
    }
  }

  void copy(state& n, u8 m, const char*& complaint) const {
    writer& q = n.w;
    for (int k = 0; k < size(m); ++k) {
      const int at = q.tail[q.l] + k;
      u8& x = n.cell[q.l][at % capacity[q.l]];
      if (x == no_memory) complaint = "writes to memory that is not there";
      if (at - n.head[q.l] >= capacity[q.l]) complaint = "writes over what is unread";
      x = static_cast<u8>(1 + m);
    }
  }

  void read(const state& s, successors<state>& out) const {
    state n = s;
    reader& q = n.r;
    const char* complaint = nullptr;
    auto go = [&](pc to, const char* label) {
      q.pc = to;
      out.add(n, 1, label, complaint);
    };
    auto drained = [&](int l) { return s.tail[l] == q.head[l]; };
    switch (q.pc) {
      // ---- a new owner
      case r_take:
        q.head[q.k] = s.head[q.k];
        if (++q.k < levels) return go(r_take, "reader: reads a head");
        q.tail_seen = q.head[0], q.level = 0, q.k = 1;
        return go(r_settle, "reader: reads a head");
      case r_settle:
        if (q.k == levels) {
          const bool any = q.any;
          q.k = q.any = 0;
          if (any && !c.quiet_settle && n.w.announced) n.w.woken = 1;
          return go(r_find, "reader: is ready");
        }
        if (s.use[q.k] != trimming || c.no_settle) {
          ++q.k;
          return go(r_settle, "reader: a level's use is fine");
        }
        q.empty = drained(q.k), q.any = 1;
        return go(q.empty ? r_release_dead : r_settled, "reader: a level was being given back");
      case r_release_dead: release(n, q.k); return go(r_settled, "reader: gives it back");
      case r_settled:
        n.use[q.k] = q.empty ? bare : kept;
        q.empty = 0, ++q.k;
        return go(r_settle, "reader: settles its use");
      // ---- peek
      case r_find:
        if (s.delivered == c.messages) {
          q = {};
          return go(p_done, "reader: has read all");
        }
        q.l = 0;
        q.pc = q.head[q.level] != q.tail_seen ? r_copy : r_tail;
        if (c.lazy) return out.forced(n, 1, "get: begins");
        return out.add(n, 1, "get: begins");
      case r_tail: {
        if (s.tail[q.l] != q.head[q.l]) {
          q.k = s.tail[q.l], q.below = 0;
          return go(r_below, "get: a level holds something");
        }
        if (s.link[q.l] == 0) return go(r_nothing, "get: end of the path");
        if (s.link[q.l] <= q.l) complaint = "a link does not lead upwards";
        q.l = s.link[q.l];
        return go(r_tail, "get: follows a link");
      }
      case r_below:
        if (q.below < q.l && !c.no_look_below) {
          const bool empty = drained(q.below++);
          if (!empty) q.l = q.k = q.below = 0;
          return go(empty ? r_below : r_tail, empty ? "get: below is empty" : "get: something is below, again");
        }
        q.level = q.l, q.tail_seen = q.k;
        q.l = q.k = q.below = 0;
        return go(r_copy, "get: takes this level");
      case r_copy: {
        const u8 at = q.head[q.level], x = s.cell[q.level][at % capacity[q.level]];
        if (x == no_memory) complaint = "reads memory that is not there";
        else if (x != 1 + s.delivered + 1) complaint = "reads something else than the next message";
        else if (size(s.delivered + 1) == 2 && s.cell[q.level][(at + 1) % capacity[q.level]] != x)
          complaint = "reads half a message";
        return go(r_pop, "get: copies");
      }
      case r_pop:
        if (c.pop_early && q.k == 0) {  // the copy comes after the pop
          n.head[q.level] = static_cast<u8>(q.head[q.level] + size(s.delivered + 1));
          q.k = 1;
          return go(r_copy, "get: pops first");
        }
        q.k = 0;
        q.head[q.level] = static_cast<u8>(q.head[q.level] + size(s.delivered + 1));
        n.head[q.level] = q.head[q.level];
        ++n.delivered;
        q.announced = q.woken = 0;
        return go(r_notify, "get: head, delivered");
      case r_notify:
        if (n.w.announced && !c.no_space_notify) n.w.woken = 1;
        q.l = q.level, q.then = r_find;
        return go(q.level == 2 ? t_check : r_find, "get: notify space");
      // ---- waiting; what was read empty is given back after a while
      case r_nothing:
        q.l = 0;
        if (!q.announced) {
          q.announced = 1, q.woken = 0;
          return go(r_tail, "get: announces itself");
        }
        return go(r_asleep, "get: falls asleep");
      case r_asleep:
        for (u8 l = 1; l < levels; ++l)
          if (s.use[l] == kept && drained(l)) {
            state a = n;
            a.r.l = l, a.r.then = r_tail, a.r.pc = t_check, a.r.announced = a.r.woken = 0;
            out.add(a, 1, "get: has waited long enough to trim");
          }
        if (!q.woken) return;
        q.woken = 0;
        return go(r_tail, "get: wakes up");
      // ---- giving a level back
      case t_check:
        if (s.use[q.l] != kept || !drained(q.l)) return trimmed(n, out, "trim: no");
        return go(c.trim_unasked ? t_release : t_claim, "trim: the level is empty");
      case t_claim:
        if (s.use[q.l] != kept) return trimmed(n, out, "trim: no more");
        n.use[q.l] = trimming;
        q.empty = 1;
        return go(c.trim_unchecked ? t_release : t_again, "trim: use = trimming");
      case t_again: q.empty = drained(q.l); return go(q.empty ? t_release : t_store, "trim: looks again");
      case t_release:
        release(n, q.l);
        if (c.trim_unasked) {
          n.use[q.l] = bare;
          return go(t_notify, "trim: gives it back");
        }
        return go(t_store, "trim: gives it back");
      case t_store: {
        n.use[q.l] = q.empty ? bare : kept;
        const bool quiet = c.quiet_trim && !q.empty;
        if (quiet) return trimmed(n, out, "trim: use = kept");
        return go(t_notify, "trim: settles the use");
      }
      case t_notify:
        if (n.w.announced) n.w.woken = 1;
        return trimmed(n, out, "trim: notify space");
      default: return;
    }
  }

  static void trimmed(state& n, successors<state>& out, const char* label) {
    reader& q = n.r;
    q.pc = q.then;
    q.l = q.then = q.empty = 0;
    out.add(n, 1, label);
  }
  static void release(state& n, int l) {
    for (auto& x : n.cell[l]) x = no_memory;
  }

  std::string show(const state& s) const {
    std::string t;
    for (int l = 0; l < levels; ++l) {
      t += "[" + std::to_string(s.head[l]) + ".." + std::to_string(s.tail[l]) + (s.link[l] ? ">" + std::to_string(s.link[l]) : "") +
           " " + std::string(1, "bkwt"[s.use[l]]) + " ";
      for (int k = 0; k < capacity[l]; ++k)
        t += s.cell[l][k] == 0 ? "-" : s.cell[l][k] == 1 ? "." : std::to_string(s.cell[l][k] - 1);
      t += "] ";
    }
    return t + "delivered " + std::to_string(s.delivered) + (s.w.woken ? " w!" : "") + (s.r.woken ? " r!" : "");
  }
};

constexpr const char* stuck = "stuck";
constexpr const char* wrong = "reads something else than the next message";
constexpr models::run<config> runs[] = {
    {"small", {.messages = 5, .large = 0}},
    {"mixed", {.messages = 4, .large = 0b0010}},
    {"large", {.messages = 4, .large = 0b1101}},
    {"kill", {.messages = 4, .large = 0b0110, .kills = 1}},
    {"two_kills", {.messages = 4, .large = 0b0110, .kills = 2}},
    {"lazy", {.messages = 4, .large = 0b1111, .kills = 1, .lazy = 1}},
    {"shortage", {.messages = 4, .large = 0b0110, .shortages = 1}},
    {"long", {.messages = 6, .large = 0b010110, .kills = 1, .shortages = 1}, nullptr, true},
    {"no_look_below", {.messages = 4, .large = 0b1101, .no_look_below = 1}, wrong},
    {"restart_early", {.messages = 5, .large = 0, .restart_early = 1}, "writes over what is unread"},
    {"commit_early", {.commit_early = 1}, wrong},
    {"pop_early", {.pop_early = 1}, wrong},
    {"trim_unasked", {.messages = 5, .large = 0, .trim_unasked = 1}, "writes to memory that is not there"},
    {"trim_unchecked", {.messages = 5, .large = 0, .trim_unchecked = 1}, "reads memory that is not there"},
    {"bare_unnoticed", {.messages = 5, .large = 0, .bare_unnoticed = 1}, "writes to memory that is not there"},
    {"link_late", {.messages = 4, .large = 0b0110, .kills = 1, .link_late = 1}, "writes over what is unread"},
    {"no_settle", {.messages = 4, .large = 0b1111, .kills = 1, .lazy = 1, .no_settle = 1}, stuck},
    {"quiet_settle", {.messages = 4, .large = 0b1111, .kills = 1, .lazy = 1, .quiet_settle = 1}, stuck},
    {"quiet_trim", {.messages = 4, .large = 0b1111, .kills = 0, .lazy = 1, .quiet_trim = 1}, stuck},
    {"no_space_notify", {.messages = 4, .large = 0b1111, .kills = 0, .lazy = 1, .no_space_notify = 1}, stuck},
};

constexpr models::field<config> fields[] = {
    {"messages", &config::messages}, {"large", &config::large},         {"kills", &config::kills},
    {"lazy", &config::lazy},         {"shortages", &config::shortages},
};

}  // namespace

int main(int argc, char** argv) { return models::main_of<model, config>("pipe_lane", runs, fields, argc, argv); }

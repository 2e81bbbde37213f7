// SPDX-License-Identifier: BSD-3-Clause
// Model of handles inside messages: pin before put, redeem and add_role before free, and what closes and ends an object.
//
// Source: framework/cloister/internal/pins.cpp, registry.cpp, hub.cpp (answer_unknown_pins) and detail/mailbox.cpp,
// membership.cpp, attachment.cpp.
// Checked: an object named by a readable message is alive; a redeem by a live receiver succeeds while its message is not
// consumed; the only sink of a queue (so too an end of a pipe), handed on in messages, never closes it in between; at rest
// the hub's holds, roles and pins are exactly what is there, and what nobody has is closed and ended.
// Configuration: three processes: one sends handles and drops its own at any time after the pin; two receive them from one
// carrier (messages without a handle in between, so out of order), or in a chain: the second one passes the only sink on;
// or receivers that have the object already, in another role. Kills at every step, puts that fail, receivers that cannot
// attach after a granted redeem. A death is handled in steps: drain, repair, unplaced pins, holders, look at the pins.
// Not here: slots (queue_chain.cpp, leases_chunks.cpp), descriptors, carriers inside messages, the hub reading one socket
// while others are written, several threads in a process. Tokens are never reused.
// Sequential consistency is assumed. States: 25 786 to 1 820 054 a run; 17 mutants, all detected. Found by this model: the pin
// of a sender that died unplaced ends when every position below the tail is consumed (not: the position at the tail); a
// redeem that was granted and then fails at the receiver must be undone.
// Longer than a file should be, because it is one state machine.
#include "explore.hpp"

using models::successors;

namespace {

using u8 = std::uint8_t;
constexpr int procs = 3, carriers = 2, places = 4, max_pins = 4, socket_size = 7;

struct config {
  int sends = 1, chain = 0;  // chain: p1 passes on to p2 through carrier 1; else p1 and p2 both read carrier 0
  int plain = 0;             // messages without a handle that somebody else puts into carrier 0
  int kills = 1, failures = 0, put_fails = 0, readers_hold_source = 0;  // failures: of a receiver after a granted redeem
  // mutants
  int no_pin = 0, pin_after_put = 0, free_before_redeem = 0, add_after_free = 0, role_blind = 0, drop_before_pin = 0, no_drain = 0,
      sweep_undrained = 0, holders_before_drain = 0, pins_die_with_sender = 0, unplaced_at_once = 0, tail_position = 0,
      end_at_redeem = 0, no_look = 0, no_cancel = 0, no_undo = 0;
};

enum place_state : u8 { none, writing, ready, taken, consumed };
enum request : u8 { r_none, r_pin, r_placed, r_cancel, r_add, r_drop, r_drop_hold, r_redeem };
enum pc : u8 {
  p_dead,
  p_gone,  // dead: the hub has yet to see it
  s_pin,
  s_claim,
  s_commit,
  s_placed,
  s_cancel,
  s_late_pin,
  s_next,
  s_exit,
  g_take,
  g_redeem,
  g_wait,
  g_use,
  g_free,
  g_late_use,
  g_next,
};
enum reply : u8 { no_reply, granted, gone };

struct item {
  u8 kind, token, value;
};
struct place {
  u8 state, owner, token;
};
struct proc {
  u8 pc, refs, mapped, token, pos, sent, reply;
};  // refs: handles to the sink; mapped: the object, in any role
struct pin {
  u8 token, carrier, placed, pos;
};  // placed: 0 no, 1 at pos, 2 somewhere below pos

struct model {
  struct state {
    proc p[procs];
    item socket[procs][socket_size];
    place carrier[carriers][places];
    u8 tail[carriers], attached[carriers], destroyed[carriers];
    // the hub's books
    pin pins[max_pins];
    u8 holds[procs], roles[procs];
    u8 closed, ended, hub_pc, hub_dead, marked;  // marked: bit token of a pin whose message is gone
    u8 kills, failures, put_fails, plain;
  };
  enum hub : u8 { h_idle, h_drain, h_repair, h_unplaced, h_holders, h_mark, h_sweep };

  config c;
  explicit model(const config& conf) : c(conf) {}

  static u8 token_of(int i, int k) { return static_cast<u8>(1 + i + procs * k); }
  static int sender_of(u8 token) { return (token - 1) % procs; }
  int in_carrier(int i) const { return c.chain && i == 2 ? 1 : 0; }
  int out_carrier(int i) const { return i == 0 ? 0 : 1; }

  state first() const {
    state s;
    std::memset(&s, 0, sizeof s);
    s.p[0] = {s_pin, 1, 1, token_of(0, 0), 0, 0, 0};
    s.p[1].pc = s.p[2].pc = g_take;
    s.holds[0] = s.roles[0] = 1;
    for (int i = 1; i < procs && c.readers_hold_source; ++i) s.p[i].mapped = s.holds[i] = 1;
    s.attached[0] = static_cast<u8>(c.chain ? 0b011 : 0b111);
    s.attached[1] = static_cast<u8>(c.chain ? 0b110 : 0);
    s.destroyed[1] = !c.chain;
    s.kills = static_cast<u8>(c.kills), s.failures = static_cast<u8>(c.failures);
    s.put_fails = static_cast<u8>(c.put_fails), s.plain = static_cast<u8>(c.plain);
    return s;
  }

  static bool alive(const state& s, int i) { return s.p[i].pc != p_dead && s.p[i].pc != p_gone; }
  static bool full(const state& s, int i, int room = 1) { return s.socket[i][socket_size - room].kind != r_none; }
  static void send(state& s, int i, request kind, u8 token, u8 value = 0) {
    for (auto& it : s.socket[i])
      if (it.kind == r_none) {
        it = {kind, token, value};
        return;
      }
  }
  static item receive(state& s, int i) {
    const item it = s.socket[i][0];
    std::memmove(&s.socket[i][0], &s.socket[i][1], sizeof(item) * (socket_size - 1));
    s.socket[i][socket_size - 1] = {};
    return it;
  }

  /// Can the message at this place still be read by anybody?
  static bool readable(const state& s, int ca, const place& w) {
    return !s.destroyed[ca] && w.token != 0 && (w.state == ready || w.state == taken);
  }

  /// Everything rests: the hub's books are what is really there.
  bool good(const state& s) const {
    if (s.hub_pc != h_idle) return false;
    int pinned = 0, messages = 0, holds = 0, roles = 0;
    for (int i = 0; i < procs; ++i) {
      const proc& q = s.p[i];
      if (q.pc == p_dead || s.socket[i][0].kind != r_none) return false;
      if (q.pc != p_gone && q.pc != g_take && q.pc != s_exit) return false;
      if (s.holds[i] != q.mapped || s.roles[i] != (q.refs > 0)) return false;
      holds += s.holds[i], roles += s.roles[i];
    }
    for (const pin& x : s.pins) pinned += x.token != 0;
    for (int ca = 0; ca < carriers; ++ca)
      for (const place& w : s.carrier[ca]) messages += readable(s, ca, w);
    return pinned == messages && (s.closed != 0) == (pinned + roles == 0) && (s.ended != 0) == (pinned + holds == 0);
  }

  void next(const state& s, successors<state>& out) const {
    for (int i = 0; i < procs; ++i) {
      if (!alive(s, i)) continue;
      step(s, i, out);
      maybe_drop(s, i, out);
      if (s.kills > 0) {
        state n = s;
        --n.kills;
        n.p[i] = {p_dead, 0, 0, 0, 0, 0, 0};
        out.forced(n, i, "is killed");
      }
    }
    if (s.plain > 0 && !s.destroyed[0] && s.tail[0] < places) {
      state n = s;
      --n.plain;
      n.carrier[0][n.tail[0]++] = {ready, 0, 0};
      out.add(n, 9, "puts a message without a handle");
    }
    hub_step(s, out);
  }

  // A handle is dropped at any time at which the process does not need it: the last one tells the hub.
  void maybe_drop(const state& s, int i, successors<state>& out) const {
    const proc& q = s.p[i];
    if (q.refs == 0 || full(s, i, 2)) return;
    const bool sending = q.pc == s_pin || (c.pin_after_put && q.pc >= s_pin && q.pc <= s_late_pin);
    if (sending && !c.drop_before_pin && q.refs < 2) return;
    if (i == 0 && q.pc != s_exit && q.refs < 2 && q.sent + 1 < c.sends) return;  // it still wants to send another one
    if (c.chain && i == 1 && q.pc == g_next) return;
    if (q.pc == g_late_use) return;
    state n = s;
    proc& m = n.p[i];
    if (--m.refs == 0) {
      send(n, i, r_drop, 0);
      if (!c.readers_hold_source || i == 0) m.mapped = 0, send(n, i, r_drop_hold, 0);
    }
    out.add(n, i, "drops a handle");
  }

  void step(const state& s, int i, successors<state>& out) const {
    state n = s;
    proc& q = n.p[i];
    const int in = in_carrier(i), to = out_carrier(i);
    const u8 me = static_cast<u8>(i + 1);
    const char* complaint = nullptr;
    auto done = [&](const char* label) { out.add(n, i, label, complaint); };
    switch (q.pc) {
      // ---- send
      case s_pin:
        if (full(s, i, 2)) return;
        if (!c.pin_after_put && !c.no_pin) send(n, i, r_pin, q.token);
        q.pc = s_claim;
        return done("sends pin");
      case s_claim:
        if (s.put_fails > 0) {
          state f = s;
          --f.put_fails;
          f.p[i].pc = s_cancel;
          out.forced(f, i, "put fails");
        }
        if (s.destroyed[to] || s.tail[to] == places) {
          q.pc = s_cancel;
          return done("put fails");
        }
        q.pos = n.tail[to]++;
        n.carrier[to][q.pos] = {writing, me, q.token};
        q.pc = s_commit;
        return done("put: claims");
      case s_commit:
        n.carrier[to][q.pos].state = ready, n.carrier[to][q.pos].owner = 0;
        q.pc = c.pin_after_put ? s_late_pin : s_placed;
        return done("put: commits");
      case s_late_pin:
        if (full(s, i)) return;
        send(n, i, r_pin, q.token);
        q.pc = s_placed;
        return done("sends pin, late");
      case s_placed:
        if (full(s, i)) return;
        send(n, i, r_placed, q.token, q.pos);
        q.pc = s_next;
        return done("sends placed");
      case s_cancel:
        if (full(s, i)) return;
        if (!c.no_cancel) send(n, i, r_cancel, q.token);
        q.pc = s_next;
        return done("sends cancel");
      case s_next:
        ++q.sent, q.pos = 0, q.token = 0;
        if (i == 0 && q.sent < c.sends && q.refs > 0) q.pc = s_pin, q.token = token_of(i, q.sent);
        else q.pc = i == 0 ? s_exit : g_take;
        return done("goes on");
      case s_exit: q = {p_dead, 0, 0, 0, 0, 0, 0}; return out.forced(n, i, "exits");
      // ---- receive
      case g_take:
        if (s.destroyed[in]) {
          q = {p_dead, 0, 0, 0, 0, 0, 0};
          return done("carrier gone, exits");
        }
        for (u8 p = 0; p < s.tail[in]; ++p) {
          const place& w = s.carrier[in][p];
          if (w.state != ready) continue;
          n.carrier[in][p].state = taken, n.carrier[in][p].owner = me;
          q.pos = p, q.token = w.token;
          if (w.token == 0) q.pc = g_free;
          else if (q.refs > 0) ++q.refs, q.pc = g_free;  // has one already: the hub need not know
          else if (q.mapped) q.pc = c.add_after_free ? g_free : g_use;
          else q.pc = c.free_before_redeem ? g_free : g_redeem;
          return done("takes a message");
        }
        return;
      case g_redeem:
        if (full(s, i)) return;
        send(n, i, r_redeem, q.token);
        q.reply = no_reply;
        q.pc = g_wait;
        return done("sends redeem");
      case g_wait:
        if (s.p[i].reply == gone) {
          complaint = "redeem of an undelivered message fails";
          return done("is told: gone");
        }
        if (s.p[i].reply != granted) return;
        q.reply = no_reply;
        if (s.failures > 0 && !full(s, i)) {
          state f = n;
          --f.failures;
          f.carrier[in][q.pos].state = ready, f.carrier[in][q.pos].owner = 0;
          if (!c.no_undo) send(f, i, r_drop_hold, 0);
          f.p[i].token = f.p[i].pos = 0, f.p[i].pc = g_take;
          out.forced(f, i, "cannot attach, gives the message back");
        }
        q.mapped = 1;
        q.pc = c.add_after_free ? g_free : g_use;
        return done("redeemed, attaches");
      case g_use:
      case g_late_use:
        if (full(s, i)) return;
        if (!c.role_blind) send(n, i, r_add, 0);
        q.refs = 1;
        q.pc = q.pc == g_use && !c.free_before_redeem ? g_free : g_next;
        return done("sends add_role");
      case g_free:
        n.carrier[in][q.pos].state = consumed, n.carrier[in][q.pos].owner = 0;
        q.pc = g_next;
        if (c.free_before_redeem && q.token != 0 && q.refs == 0) q.pc = q.mapped ? g_use : g_redeem;
        if (c.add_after_free && q.token != 0 && q.refs == 0) q.pc = g_late_use;
        return done("frees the slot");
      case g_next:
        q.pos = 0;
        if (c.chain && i == 1 && q.token != 0 && q.refs > 0) q.pc = s_pin, q.token = token_of(i, q.sent);
        else q.pc = g_take, q.token = 0;
        return done("goes on");
      default: return;
    }
  }

  // ---- the hub's books
  static pin* find(state& s, u8 token) {
    for (auto& x : s.pins)
      if (x.token == token) return &x;
    return nullptr;
  }

  const char* drain(state& s) const {
    for (int i = 0; i < procs; ++i)
      while (s.socket[i][0].kind != r_none)
        if (const char* complaint = handle(s, i)) return complaint;
    return nullptr;
  }

  const char* handle(state& s, int i) const {
    const item it = receive(s, i);
    switch (it.kind) {
      case r_pin:
        if (s.holds[i] == 0) return "hub refuses a pin";
        *find(s, 0) = {it.token, static_cast<u8>(out_carrier(i)), 0, 0};
        return nullptr;
      case r_placed:
        if (pin* x = find(s, it.token)) x->placed = 1, x->pos = it.value;
        return nullptr;
      case r_cancel:
        if (pin* x = find(s, it.token)) *x = {};
        return settle(s);
      case r_add:
        if (s.holds[i] == 0) return "hub refuses a role";
        s.roles[i] = 1;
        return s.closed && alive(s, i) ? "a role is added after the last one was gone" : nullptr;
      case r_drop: s.roles[i] = 0; return settle(s);
      case r_drop_hold:
        if (s.holds[i] == 0) return "a process drops what it does not hold";
        --s.holds[i];
        return settle(s);
      case r_redeem: {
        const char* complaint = !find(s, it.token) && !c.no_drain ? drain(s) : nullptr;
        pin* x = find(s, it.token);
        if (x) ++s.holds[i];
        if (alive(s, i)) s.p[i].reply = x ? granted : gone;
        if (x && c.end_at_redeem) *x = {};
        return complaint ? complaint : settle(s);
      }
      default: return nullptr;
    }
  }

  /// Closes what has no sink, ends what nobody holds and no message names.
  const char* settle(state& s) const {
    for (int ca = 0; ca < carriers; ++ca)
      if (s.attached[ca] == 0 && !s.destroyed[ca]) {
        s.destroyed[ca] = 1;
        for (auto& x : s.pins)
          if (x.token != 0 && x.carrier == ca) x = {};
      }
    int roles = 0, holds = 0, pinned = 0;
    for (const u8 r : s.roles) roles += r;
    for (const u8 h : s.holds) holds += h;
    for (const pin& x : s.pins) pinned += x.token != 0;
    const bool closes = !s.closed && roles + pinned == 0, ends = !s.ended && holds + pinned == 0;
    if (closes) s.closed = 1;
    if (ends) s.ended = 1;
    if (!closes && !ends) return nullptr;
    for (int i = 0; i < procs; ++i) {
      if (closes && alive(s, i) && s.p[i].refs > 0) return "closed while a live process holds a handle";
      if (ends && alive(s, i) && s.p[i].mapped) return "ended while a live process holds it";
    }
    for (int ca = 0; ca < carriers; ++ca)
      for (const place& w : s.carrier[ca])
        if (readable(s, ca, w)) return "closed while a readable message names the object";
    return nullptr;
  }

  bool over(const state& s, const pin& x) const {
    const auto& line = s.carrier[x.carrier];
    if (x.placed == 0) return false;
    if (x.placed == 1 || c.tail_position) return x.pos < places && line[x.pos].state == consumed;
    for (int p = 0; p < x.pos; ++p)
      if (line[p].state != consumed) return false;
    return true;
  }

  void hub_step(const state& s, successors<state>& out) const {
    state n = s;
    if (s.hub_pc == h_idle) {
      for (int i = 0; i < procs; ++i)
        if (s.socket[i][0].kind != r_none) {
          state m = s;
          const char* complaint = handle(m, i);
          out.add(m, -1, i == 0 ? "reads a request of p0" : i == 1 ? "reads a request of p1" : "reads a request of p2", complaint);
        }
      bool any = false;
      for (const pin& x : s.pins) any = any || (x.token != 0 && over(s, x));
      if (any && !c.no_look) {
        state m = s;
        m.hub_pc = h_mark;
        out.add(m, -1, "look begins");
      }
      for (int i = 0; i < procs; ++i)
        if (s.p[i].pc == p_dead) n.hub_dead = static_cast<u8>(n.hub_dead | 1 << i);
      if (n.hub_dead == 0) return;
      n.hub_pc = c.holders_before_drain ? h_holders : h_drain;
      return out.add(n, -1, "sees who has died");
    }
    const char* complaint = nullptr;
    auto dead = [&](int i) { return i >= 0 && (s.hub_dead >> i & 1); };
    switch (s.hub_pc) {
      case h_drain:
        for (int i = 0; i < procs; ++i)
          while (dead(i) && n.socket[i][0].kind != r_none && complaint == nullptr) complaint = handle(n, i);
        n.hub_pc = h_repair;
        return out.add(n, -1, "death: drains the sockets", complaint);
      case h_repair:
        for (auto& line : n.carrier)
          for (place& w : line) {
            if (w.state == writing && dead(w.owner - 1)) w = {consumed, 0, 0};
            if (w.state == taken && dead(w.owner - 1)) w.state = ready, w.owner = 0;
          }
        n.hub_pc = h_unplaced;
        return out.add(n, -1, "death: repairs the carriers");
      case h_unplaced:
        for (pin& x : n.pins) {
          if (x.token == 0 || !dead(sender_of(x.token))) continue;
          if (c.pins_die_with_sender || (c.unplaced_at_once && x.placed == 0)) x = {};
          else if (x.placed == 0) x.placed = 2, x.pos = s.tail[x.carrier];
        }
        n.hub_pc = c.holders_before_drain ? h_idle : h_holders;
        if (c.holders_before_drain) finish(n);
        return out.add(n, -1, "death: unplaced pins end with what is below tail");
      case h_holders:
        for (int i = 0; i < procs; ++i) {
          if (!dead(i)) continue;
          n.holds[i] = n.roles[i] = 0;
          for (auto& a : n.attached) a = static_cast<u8>(a & ~(1 << i));
        }
        complaint = settle(n);
        n.hub_pc = h_drain;
        if (!c.holders_before_drain) finish(n), n.hub_pc = h_mark;
        return out.add(n, -1, "death: holds nothing any more", complaint);
      // A look at the pins, at a death and in between: which messages are gone; hear everybody; then unpin.
      case h_mark:
        for (const pin& x : s.pins)
          if (x.token != 0 && over(s, x)) n.marked = static_cast<u8>(n.marked | 1 << x.token);
        n.hub_pc = n.marked ? h_sweep : h_idle;
        return out.add(n, -1, "look: which messages are gone");
      case h_sweep:
        if (!c.sweep_undrained) complaint = drain(n);
        for (pin& x : n.pins)
          if (x.token != 0 && (s.marked >> x.token & 1)) x = {};
        if (complaint == nullptr) complaint = settle(n);
        n.marked = 0, n.hub_pc = h_idle;
        return out.add(n, -1, "look: hears everybody, then unpins", complaint);
      default: return;
    }
  }

  static void finish(state& n) {
    for (int i = 0; i < procs; ++i)
      if (n.hub_dead >> i & 1) n.p[i].pc = p_gone;
    n.hub_pc = h_idle, n.hub_dead = 0;
  }

  std::string show(const state& s) const {
    std::string t;
    for (int i = 0; i < procs; ++i) {
      t += "p" + std::to_string(i) + " refs " + std::to_string(s.p[i].refs) + " holds " + std::to_string(s.holds[i]) +
           (s.roles[i] ? "+role" : "") + " [";
      for (const auto& it : s.socket[i])
        if (it.kind) t += std::string(1, " PLCADHR"[it.kind]) + std::to_string(it.token);
      t += "] ";
    }
    for (int ca = 0; ca < carriers; ++ca) {
      t += s.destroyed[ca] ? " destroyed:" : " carrier:";
      for (const auto& w : s.carrier[ca])
        if (w.state) t += std::string(1, " wrtc"[w.state]) + std::to_string(w.token) + ".";
    }
    t += " pins";
    for (const auto& x : s.pins)
      if (x.token) t += " " + std::to_string(x.token) + (x.placed == 0 ? "?" : x.placed == 1 ? "@" : "<") + std::to_string(x.pos);
    return t + (s.closed ? " CLOSED" : "");
  }
};

constexpr const char* stuck = "stuck";
constexpr const char* fails = "redeem of an undelivered message fails";
constexpr const char* unread = "closed while a readable message names the object";
constexpr models::run<config> runs[] = {
    {"one", {.sends = 1, .kills = 1}},
    {"two", {.sends = 2, .kills = 1}},
    {"out_of_order", {.sends = 1, .plain = 2, .kills = 1, .failures = 1, .put_fails = 1}},
    {"chain", {.sends = 1, .chain = 1, .kills = 1, .failures = 1}},
    {"chain_two_deaths", {.sends = 1, .chain = 1, .kills = 2}},
    {"readers_hold_source", {.sends = 1, .kills = 2, .readers_hold_source = 1}},
    {"two_and_two_deaths", {.sends = 2, .kills = 2, .failures = 1}, nullptr, true},
    {"chain_everything", {.sends = 2, .chain = 1, .kills = 2, .failures = 1, .put_fails = 1}, nullptr, true},
    {"no_pin", {.no_pin = 1}, unread},
    {"pin_after_put", {.pin_after_put = 1}, fails},
    {"free_before_redeem", {.free_before_redeem = 1}, fails},
    {"add_after_free", {.add_after_free = 1}, "a role is added after"},
    {"role_blind", {.readers_hold_source = 1, .role_blind = 1}, "closed while a live process holds a handle"},
    {"drop_before_pin", {.drop_before_pin = 1}, unread},
    {"no_drain", {.no_drain = 1}, fails},
    {"sweep_undrained", {.kills = 0, .sweep_undrained = 1}, "closed while a live process holds a handle"},
    {"holders_before_drain", {.holders_before_drain = 1}, "hub refuses a pin"},
    {"pins_die_with_sender", {.pins_die_with_sender = 1}, unread},
    {"unplaced_at_once", {.unplaced_at_once = 1}, unread},
    {"tail_position_leaks", {.tail_position = 1}, stuck},
    {"tail_position_too_early", {.plain = 2, .tail_position = 1}, unread},
    {"end_at_redeem", {.end_at_redeem = 1}, unread},
    {"no_look", {.no_look = 1}, stuck},
    {"no_cancel", {.kills = 0, .put_fails = 1, .no_cancel = 1}, stuck},
    {"no_undo", {.kills = 0, .failures = 1, .no_undo = 1}, stuck},
};

constexpr models::field<config> fields[] = {
    {"sends", &config::sends},
    {"chain", &config::chain},
    {"plain", &config::plain},
    {"kills", &config::kills},
    {"failures", &config::failures},
    {"put_fails", &config::put_fails},
    {"readers_hold_source", &config::readers_hold_source},
};

}  // namespace

int main(int argc, char** argv) { return models::main_of<model, config>("pins", runs, fields, argc, argv); }

// SPDX-License-Identifier: BSD-3-Clause
// Exhaustive search of small models: every interleaving of a protocol's steps, with kills, stops and time-outs.
//
// A model is a struct made from a `config` (numbers, see below) with
//   state                          trivially comparable, without padding: shared memory, processes, ghost variables
//   state first() const            where it begins
//   void next(const state&, successors<state>& out) const     every step that is possible now; one shared access a step
//   bool good(const state&) const  may everything rest here for ever?
//   std::string show(const state&) const                      one line for traces
//
// The search goes breadth first, so the trace of a violation is a shortest one. Two kinds of violation:
//   a step that comes with a complaint (an invariant is broken), and
//   "stuck": a state from which no good state can be reached by fair steps alone. Forced steps (a kill, a stop, a
//   time-out) may happen but nobody may depend on them; so dead ends and endless circles are both found.
//
// Sequential consistency is assumed: a load, a store or a read-modify-write is one step and seen by all at once.
// Threads: one. A state costs its size + 16 bytes, a step 4 bytes.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace models {

enum class step_kind : unsigned char { fair, forced };

/// Where a model writes the steps that are possible in a state. Labels and complaints are literals.
template <class State>
class successors {
 public:
  struct entry {
    State state;
    int who;
    const char* label;
    const char* complaint;
    step_kind kind;
  };
  void add(const State& to, int who, const char* label, const char* complaint = nullptr, step_kind kind = step_kind::fair) {
    entries_.push_back({to, who, label, complaint, kind});
  }
  void forced(const State& to, int who, const char* label) { add(to, who, label, nullptr, step_kind::forced); }
  const std::vector<entry>& entries() const { return entries_; }
  void clear() { entries_.clear(); }

 private:
  std::vector<entry> entries_;
};

struct outcome {
  std::size_t states = 0, steps = 0;
  bool complete = false;  // the whole space was seen (false after a violation or at the limit)
  std::string complaint;  // empty: nothing wrong
  std::vector<std::string> trace;
};

template <class Model>
class search {
 public:
  using state = typename Model::state;
  static_assert(std::is_trivially_copyable_v<state> && std::has_unique_object_representations_v<state>);

  search(const Model& model, std::size_t limit) : model_(model), limit_(limit), table_(1u << 16, none) {}

  outcome run() {
    insert(model_.first(), none);
    for (std::uint32_t at = 0; at < states_.size(); ++at) {
      out_.clear();
      const state from = states_[at];
      model_.next(from, out_);
      first_edge_.push_back(edges_.size());
      for (const auto& step : out_.entries()) {
        ++steps_;
        if (step.complaint != nullptr) return violated(step.complaint, at, &step);
        if (std::memcmp(&step.state, &from, sizeof(state)) == 0) continue;
        std::uint32_t to = insert(step.state, at);
        if (step.kind == step_kind::fair) edges_.push_back(to);
      }
      if (states_.size() > limit_) return result({});
    }
    first_edge_.push_back(edges_.size());
    std::uint32_t bad = stuck();
    if (bad != none) return violated("stuck: no good end can be reached any more", bad, nullptr);
    outcome o = result({});
    o.complete = true;
    return o;
  }

 private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  static std::uint64_t hash(const state& s) {
    unsigned char bytes[(sizeof(state) + 7) / 8 * 8] = {};
    std::memcpy(bytes, &s, sizeof s);
    std::uint64_t h = 0x9e3779b97f4a7c15u;
    for (std::size_t i = 0; i < sizeof bytes; i += 8) {
      std::uint64_t word;
      std::memcpy(&word, bytes + i, 8);
      h = (h ^ word) * 0xff51afd7ed558ccdu;
      h ^= h >> 32;
    }
    return h;
  }

  std::uint32_t insert(const state& s, std::uint32_t parent) {
    if (states_.size() * 2 > table_.size()) grow();
    for (std::size_t i = hash(s) & (table_.size() - 1);; i = (i + 1) & (table_.size() - 1)) {
      if (table_[i] == none) {
        table_[i] = static_cast<std::uint32_t>(states_.size());
        states_.push_back(s);
        parents_.push_back(parent);
        return table_[i];
      }
      if (std::memcmp(&states_[table_[i]], &s, sizeof s) == 0) return table_[i];
    }
  }

  void grow() {
    table_.assign(table_.size() * 2, none);
    for (std::uint32_t n = 0; n < states_.size(); ++n) {
      std::size_t i = hash(states_[n]) & (table_.size() - 1);
      while (table_[i] != none) i = (i + 1) & (table_.size() - 1);
      table_[i] = n;
    }
  }

  /// The first state from which no good one is reachable over fair steps, a dead end if there is one.
  std::uint32_t stuck() const {
    std::vector<bool> fine(states_.size());
    for (std::uint32_t n = 0; n < states_.size(); ++n) fine[n] = model_.good(states_[n]);
    for (bool changed = true; changed;) {
      changed = false;
      for (std::uint32_t n = static_cast<std::uint32_t>(states_.size()); n-- > 0;) {
        if (fine[n]) continue;
        for (std::size_t e = first_edge_[n]; e < first_edge_[n + 1] && !fine[n]; ++e) fine[n] = fine[edges_[e]];
        if (fine[n]) changed = true;
      }
    }
    std::uint32_t circle = none;
    for (std::uint32_t n = 0; n < states_.size(); ++n) {
      if (fine[n]) continue;
      if (first_edge_[n] == first_edge_[n + 1]) return n;
      if (circle == none) circle = n;
    }
    return circle;
  }

  outcome violated(const char* complaint, std::uint32_t at, const typename successors<state>::entry* last) {
    outcome o = result(complaint);
    std::vector<std::uint32_t> path;
    for (std::uint32_t n = at; n != none; n = parents_[n]) path.push_back(n);
    std::reverse(path.begin(), path.end());
    std::vector<std::string> lines;
    const std::string last_line = last == nullptr ? std::string{} : line(last->who, last->label, last->state);
    lines.push_back("begin: " + model_.show(states_[path[0]]));
    for (std::size_t i = 0; i + 1 < path.size(); ++i) {
      out_.clear();
      model_.next(states_[path[i]], out_);
      for (const auto& step : out_.entries()) {
        if (std::memcmp(&step.state, &states_[path[i + 1]], sizeof(state)) != 0) continue;
        lines.push_back(line(step.who, step.label, step.state));
        break;
      }
    }
    if (last != nullptr) lines.push_back(last_line);
    o.trace = std::move(lines);
    return o;
  }

  std::string line(int who, const char* label, const state& s) const {
    std::string text = who < 0 ? std::string("hub ") : "p" + std::to_string(who) + "  ";
    text += label;
    if (text.size() < 44) text.resize(44, ' ');
    return text + "| " + model_.show(s);
  }

  outcome result(const char* complaint) const {
    outcome o;
    o.states = states_.size();
    o.steps = steps_;
    if (complaint != nullptr) o.complaint = complaint;
    return o;
  }

  const Model& model_;
  std::size_t limit_;
  std::vector<state> states_;
  std::vector<std::uint32_t> parents_, table_, edges_;
  std::vector<std::size_t> first_edge_;
  std::size_t steps_ = 0;
  successors<state> out_;
};

/// One row of a model's table. `expected`: nullptr when nothing may go wrong; for a mutant, how its complaint begins.
template <class Config>
struct run {
  const char* name;
  Config config;
  const char* expected = nullptr;
  bool big = false;  // only when named on the command line
};

/// A number of a config that the command line may set: name=value.
template <class Config>
struct field {
  const char* name;
  int Config::*member;
};

/// Runs one row; true when the result is the expected one.
template <class Model, class Config>
bool execute(const char* model_name, const run<Config>& r, std::size_t limit, bool with_trace) {
  const auto begin = std::chrono::steady_clock::now();
  const Model model{r.config};
  outcome o = search<Model>(model, limit).run();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const bool as_expected = r.expected == nullptr ? o.complete : o.complaint.rfind(r.expected, 0) == 0;
  std::printf("%s %s: %s, %zu states, %zu steps, %.1f s: %s\n", model_name, r.name,
              !o.complaint.empty() ? o.complaint.c_str() : (o.complete ? "nothing wrong" : "limit reached"), o.states, o.steps,
              seconds, as_expected ? (r.expected != nullptr ? "detected" : "ok") : "FAILED");
  if (with_trace || (!as_expected && !o.complaint.empty()))
    for (const auto& l : o.trace) std::printf("  %s\n", l.c_str());
  return as_expected;
}

/// main of a model: no argument = all rows that are not big; NAME [key=value ...] [trace] = that one; list = the names;
/// only NAME ... = fails unless these are all rows that are not big.
template <class Model, class Config>
int main_of(const char* model_name, std::span<const run<Config>> runs, std::span<const field<Config>> fields, int argc,
            char** argv) {
  const std::string_view wanted = argc > 1 ? argv[1] : "";
  if (wanted == "list") {
    for (const auto& r : runs) std::printf("%s%s%s\n", r.name, r.expected != nullptr ? " (mutant)" : "", r.big ? " (big)" : "");
    return 0;
  }
  if (wanted == "only") {
    int missing = 0;
    for (const auto& r : runs) {
      if (r.big || std::find(argv + 2, argv + argc, std::string_view(r.name)) != argv + argc) continue;
      std::printf("%s: the row %s is not among the tests\n", model_name, r.name);
      ++missing;
    }
    return missing == 0 ? 0 : 1;
  }
  std::size_t limit = 20'000'000;
  bool found = false, fine = true, with_trace = false;
  for (run<Config> r : runs) {
    if (wanted.empty() ? r.big : wanted != r.name) continue;
    found = true;
    for (int i = 2; i < argc; ++i) {
      const std::string_view argument = argv[i];
      const std::size_t equals = argument.find('=');
      bool known = argument == "trace";
      with_trace = with_trace || known;
      if (equals != argument.npos) {
        const int value = std::atoi(argv[i] + equals + 1);
        if (argument.substr(0, equals) == "limit") limit = static_cast<std::size_t>(value), known = true;
        for (const auto& f : fields)
          if (argument.substr(0, equals) == f.name) r.config.*f.member = value, known = true;
      }
      if (!known) {
        std::fprintf(stderr, "%s: '%s' is not a number of this model\n", model_name, argv[i]);
        return 2;
      }
    }
    fine = execute<Model>(model_name, r, limit, with_trace) && fine;
  }
  if (!found) std::fprintf(stderr, "%s: there is no run '%s'; 'list' names them\n", model_name, argv[1]);
  return found && fine ? 0 : 1;
}

}  // namespace models

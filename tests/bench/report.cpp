// SPDX-License-Identifier: BSD-3-Clause
// Medians, ratios, alignment; see report.hpp.
#include "report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ostream>
#include <string_view>

namespace bench {
namespace {

std::optional<double> value_of(const answer& a, std::string_view figure) {
  if (a.what != answer::kind::measured) return {};
  for (const auto& f : a.values)
    if (f.name == figure) return f.value;
  return {};
}

std::vector<double> values_of(const series& s, std::string_view figure) {
  std::vector<double> values;
  for (const auto& a : s.answers)
    if (const auto v = value_of(a, figure)) values.push_back(*v);
  return values;
}

double goodness(double a, double b, bool more_is_better) { return more_is_better ? a / b : b / a; }

/// How much better `a` is than `b`, run by run.
std::optional<double> ratio(const series& a, const series& b, const reading& r) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < std::min(a.answers.size(), b.answers.size()); ++i) {
    const auto va = value_of(a.answers[i], r.figure);
    const auto vb = value_of(b.answers[i], r.figure);
    if (va && vb && *va > 0 && *vb > 0) ratios.push_back(goodness(*va, *vb, r.more_is_better));
  }
  if (ratios.empty()) return {};
  return quantile(ratios, 0.5);
}

const series* best(std::span<const series> all, role who, const reading& r) {
  const series* found = nullptr;
  double best_median = 0;
  for (const auto& s : all) {
    const auto values = values_of(s, r.figure);
    if (s.entrant->role != who || values.empty()) continue;
    const auto median = quantile(values, 0.5);
    if (found != nullptr && goodness(median, best_median, r.more_is_better) <= 1) continue;
    found = &s;
    best_median = median;
  }
  return found;
}

/// How far ours reaches a target; nothing if there is nobody to compare with.
std::optional<double> attainment(const series& ours, double median, const target& t, const reading& r,
                                 std::span<const series> all) {
  const auto needed = r.more_is_better ? 1 / t.factor : t.factor;
  if (t.against == target::kind::absolute) return goodness(median, t.factor, r.more_is_better);
  const auto* other = best(all, role::peer, r);
  if (t.against == target::kind::limit) {
    const auto it = std::find_if(all.begin(), all.end(), [&](const series& s) { return s.entrant->label == t.limit; });
    other = it == all.end() ? nullptr : &*it;
  }
  if (other == nullptr) return {};
  const auto found = ratio(ours, *other, r);
  if (!found) return {};
  return *found * needed;
}

void explain(line& l, const series& s) {
  if (s.answers.empty()) return;
  const auto& a = s.answers.back();
  l.note = a.text;
  switch (a.what) {
    case answer::kind::measured: l.status = "failed", l.note = "no such figure"; break;
    case answer::kind::not_applicable: l.status = "n/a"; break;
    case answer::kind::failed: l.status = "failed"; break;
    case answer::kind::absent: l.status = "not installed", l.note.clear(); break;
  }
}

std::string_view name_of(role who) { return who == role::ours ? "ours" : who == role::peer ? "peer" : "limit"; }

/// Three significant digits: 57.0 M, 868 k, 12.3, 0.0834.
std::string human(double v) {
  const char* suffix = "";
  if (v >= 999'500) v /= 1e6, suffix = " M";
  else if (v >= 9'995) v /= 1e3, suffix = " k";
  const auto digits = v <= 0 ? 1 : std::clamp(2 - static_cast<int>(std::floor(std::log10(v))), 0, 4);
  char text[32];
  std::snprintf(text, sizeof(text), "%.*f%s", digits, v, suffix);
  return text;
}

std::string human(const std::optional<double>& ratio) {
  char text[32];
  if (!ratio) return "";
  std::snprintf(text, sizeof(text), *ratio < 0.0995 ? "%.3f" : *ratio < 99.95 ? "%.2f" : "%.0f", *ratio);
  return text;
}

constexpr int widths[] = {-31, -24, 9, 9, 9, -5, 8, 8, 8};

void print_cells(std::ostream& out, std::span<const std::string> cells) {
  std::string text;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    char cell[256];
    std::snprintf(cell, sizeof(cell), "%*s", i < std::size(widths) ? widths[i] : 0, cells[i].c_str());
    text += (i == 0 ? "" : "  ");
    text += cell;
  }
  text.erase(text.find_last_not_of(' ') + 1);
  out << text << '\n';
}

std::string title(const line& l) { return l.figure == "rate" || l.figure == "each" ? l.row : l.row + ' ' + l.figure; }

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + '"';
}

}  // namespace

std::vector<line> judge(const row& r, std::span<const series> all) {
  std::vector<line> lines;
  for (const auto& reading : r.readings) {
    const auto* best_peer = best(all, role::peer, reading);
    const auto* best_limit = best(all, role::limit, reading);
    for (const auto& s : all) {
      line l;
      l.row = r.id;
      l.figure = reading.figure;
      l.contestant = s.entrant->label;
      l.role = name_of(s.entrant->role);
      l.unit = reading.unit;
      const auto values = values_of(s, reading.figure);
      l.runs = values.size();
      if (values.empty()) {
        explain(l, s);
        lines.push_back(std::move(l));
        continue;
      }
      l.status = "measured";
      l.median = quantile(values, 0.5);
      l.min = *std::min_element(values.begin(), values.end());
      l.max = *std::max_element(values.begin(), values.end());
      if (best_peer != nullptr) l.x_peer = ratio(s, *best_peer, reading);
      if (best_limit != nullptr) l.x_limit = ratio(s, *best_limit, reading);
      if (s.entrant->role == role::ours && s.entrant->judged) {
        for (const auto& t : reading.targets) {
          const auto reached = attainment(s, l.median, t, reading, all);
          if (reached) l.x_target = std::min(l.x_target.value_or(*reached), *reached);
        }
      }
      lines.push_back(std::move(l));
    }
  }
  return lines;
}

void print_heading(std::ostream& out) {
  const std::string cells[] = {"row", "contestant", "median", "min", "max", "unit", "x peer", "x limit", "x target"};
  print_cells(out, cells);
}

void print(std::ostream& out, std::span<const line> lines) {
  std::string last;
  for (const auto& l : lines) {
    const auto head = title(l) == last ? std::string() : title(l);
    if (!head.empty()) out << '\n';
    last = title(l);
    if (l.status == "measured") {
      const std::string cells[] = {head,   l.contestant,    human(l.median),  human(l.min),     human(l.max),
                                   l.unit, human(l.x_peer), human(l.x_limit), human(l.x_target)};
      print_cells(out, cells);
    } else {
      const std::string cells[] = {head, l.contestant, l.status + (l.note.empty() ? "" : ": " + l.note)};
      print_cells(out, cells);
    }
  }
  out.flush();
}

void print_summary(std::ostream& out, std::span<const line> lines) {
  std::size_t judged = 0;
  std::size_t reached = 0;
  for (const auto& l : lines) {
    if (!l.x_target) continue;
    ++judged;
    reached += *l.x_target >= 1;
  }
  if (judged == 0) return;
  out << "\nTargets: " << reached << " of " << judged << " reached.\n";
  for (const auto& l : lines)
    if (l.x_target && *l.x_target < 1)
      out << "  not reached: " << title(l) << ", " << l.contestant << ": " << human(l.x_target) << " of it\n";
}

void write_csv(std::ostream& out, std::span<const line> lines) {
  out << "row,figure,contestant,role,status,unit,median,min,max,runs,x_best_peer,x_best_limit,x_target,note\n";
  const auto number = [&](double v) {
    char text[32];
    std::snprintf(text, sizeof(text), ",%.6g", v);
    out << text;
  };
  const auto optional_number = [&](const std::optional<double>& v) { v ? number(*v) : void(out << ','); };
  for (const auto& l : lines) {
    out << l.row << ',' << l.figure << ',' << quoted(l.contestant) << ',' << l.role << ',' << quoted(l.status) << ',' << l.unit;
    const auto measured = l.status == "measured";
    for (const double v : {l.median, l.min, l.max}) optional_number(measured ? std::optional(v) : std::nullopt);
    out << ',' << l.runs;
    for (const auto& x : {l.x_peer, l.x_limit, l.x_target}) optional_number(x);
    out << ',' << quoted(l.note) << '\n';
  }
}

}  // namespace bench

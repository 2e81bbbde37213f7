#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# fault_points.sh: the table in fault.cpp, the fault points in the code and the lists in docs/testing.md name the same operations
# and steps, and each operation's steps are 1 to n without a gap. Runs in the project's root.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
point='(fault_point|Platform::fault)\('

# In the table:  {"put", 9},
grep -oE '\{"[a-z_]+", [0-9]+\}' framework/cloister/fault.cpp | sed -E 's/.*"([a-z_]+)", ([0-9]+).*/\1 \2/' |
  awk '{ for (i = 1; i <= $2; ++i) print $1, i }' | sort >"$work/table"

# In the code:  fault_point("put", 3);  a step may stand in several places.
grep -rhoE "$point\"[a-z_]+\", *[0-9]+\)" framework actors --include='*.hpp' --include='*.cpp' |
  sed -E 's/.*"([a-z_]+)", *([0-9]+).*/\1 \2/' | sort -u >"$work/code"

# In the documentation:  a heading with `put`, then one numbered line for each step.
awk '
  /^#/ { operation = ""; if (match($0, /`[a-z_]+`/)) operation = substr($0, RSTART + 1, RLENGTH - 2) }
  operation != "" && /^[0-9]+\. / { step = $1; sub(/\./, "", step); print operation, step }
' docs/testing.md | sort >"$work/docs"

comm -23 "$work/table" "$work/code" | sed 's/^/in the table of fault.cpp, not in the code: /' >"$work/wrong"
comm -13 "$work/table" "$work/code" | sed 's/^/in the code, not in the table of fault.cpp: /' >>"$work/wrong"
comm -23 "$work/table" "$work/docs" | sed 's/^/in the table of fault.cpp, not in docs\/testing.md: /' >>"$work/wrong"
comm -13 "$work/table" "$work/docs" | sed 's/^/in docs\/testing.md, not in the table of fault.cpp: /' >>"$work/wrong"
# Any other call would hide its step from this check.
grep -rnE "$point" framework actors --include='*.hpp' --include='*.cpp' | grep -vE "$point\"[a-z_]+\", *[0-9]+\)" |
  grep -vE 'void fault_point\(|void fault\(std::string_view operation' | sed 's/^/operation and step must be literals: /' >>"$work/wrong" || true

cat "$work/wrong"
[ ! -s "$work/wrong" ]

#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# docs_code.sh: C++ of more than five lines in README.md, CONTRIBUTING.md and docs/ is what an example really says. Runs in the project's root.
# Above such a block stands the line
#   <!-- examples/hello.cpp: whole -->
# and, in the example, the lines between "// begin whole" and "// end whole", less their common indentation, are the block.
# A block of a header is marked the same way. Shorter blocks need no mark.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

for page in README.md CONTRIBUTING.md docs/*.md; do
  rm -f "$work"/block*
  # block1, block2 ... ; first line: line number and mark
  awk -v out="$work/block" '
    /^```(cpp|c\+\+|C\+\+)/ { inside = 1; ++count; file = out count; print NR, mark >file; next }
    /^```/ { inside = 0 }
    inside { print >file; next }
    /^<!-- .*: .* -->$/ { mark = $2 " " $3; sub(/:/, "", mark); next }
    !/^[[:space:]]*$/ { mark = "" }
  ' "$page"
  for block in "$work"/block*; do
    [ -e "$block" ] || continue
    head -n 1 "$block" >"$work/head"
    read -r line source region <"$work/head" || true
    tail -n +2 "$block" >"$work/written"
    if [ -z "$source" ]; then
      if [ "$(wc -l <"$work/written")" -gt 5 ]; then
        echo "$page:$line: more than five lines of C++, and no mark that says which example they are"
        failed=1
      fi
      continue
    fi
    awk -v region="$region" '
      $1 == "//" && $2 == "begin" && $3 == region { inside = 1; next }
      $1 == "//" && $2 == "end" && $3 == region { inside = 0 }
      inside { lines[++count] = $0; if ($0 ~ /[^ ]/) { match($0, /^ */); if (least == "" || RLENGTH < least) least = RLENGTH } }
      END { for (i = 1; i <= count; ++i) print substr(lines[i], least + 1) }
    ' "$source" >"$work/compiled"
    if [ ! -s "$work/compiled" ]; then
      echo "$page:$line: $source has no region '$region'"
      failed=1
    elif ! diff "$work/compiled" "$work/written"; then
      echo "$page:$line: differs from region '$region' of $source (< source, > page)"
      failed=1
    fi
  done
done
exit $failed

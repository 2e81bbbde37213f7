#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# conformance.sh: docs/conformance.md names tests that there are, by their whole names, in the files where they are; and every test of a
# promise stands in the row of its number. Runs in the project's root.
#
# In the tables, a test is a name in quotes behind the file it is in, or behind `refused:` or `checks:` for those of CMake:
#   wait.test.cpp: "a wait survives handled signals"; "another one of the same file"; refused: "a sink does not get"
# `example: NAME`, `program: NAME` and `model: NAME` are tests that have no other name. Quotes are used for nothing else.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What there is: "where<TAB>name".
for file in tests/*.test.cpp; do
  sed -nE "/^(TEMPLATE_)?TEST_CASE\\($/{N;s/\\n *//}; s/^(TEMPLATE_)?TEST_CASE\\(\"([^\"]*)\".*/$(basename "$file")	\\2/p" "$file"
done >"$work/there"
sed -nE 's/.*cloister_refuses\(NAME "([^"]*)".*/refused	\1/p' tests/CMakeLists.txt >>"$work/there"
sed -nE 's/.*cloister_check\(NAME "([^"]*)".*/checks	\1/p' tests/checks/checks.cmake >>"$work/there"
sed -nE 's/.*cloister_program\(NAME ([a-z_]+).*/program	\1/p' tests/CMakeLists.txt >>"$work/there"
sed -nE 's/^cloister_model\(([a-z_]+).*/model	\1/p' tests/models/CMakeLists.txt >>"$work/there"
for file in examples/*.cpp; do echo "example	$(basename "$file" .cpp)"; done >>"$work/there"

# What is named: "line<TAB>first cell<TAB>where<TAB>name".
awk -v OFS='\t' '
  /^\|/ {
    row = $0
    cell = row
    sub(/^\| */, "", cell)
    sub(/ *\|.*/, "", cell)
    where = "nowhere"
    while (match(row, /[a-z_0-9]+\.test\.cpp|refused:|checks:|(example|program|model): [a-z_]+|"[^"]*"/)) {
      word = substr(row, RSTART, RLENGTH)
      row = substr(row, RSTART + RLENGTH)
      if (word ~ /^"/) print NR, cell, where, substr(word, 2, length(word) - 2)
      else if (word ~ /^(example|program|model): /) { name = word; sub(/.*: /, "", name); sub(/:.*/, "", word); print NR, cell, word, name }
      else { sub(/:$/, "", word); where = word }
    }
  }' docs/conformance.md >"$work/named"

awk -F '\t' '
  FNR == NR { there[$1 FS $2] = 1; next }
  !(($3 FS $4) in there) { print "docs/conformance.md:" $1 ": no test \"" $4 "\" in " $3 }
' "$work/there" "$work/named" >"$work/wrong"
awk -F '\t' '
  FNR == NR { split($2, words, " "); named[words[1] FS $3 FS $4] = 1; next }
  $2 ~ /^promise [0-9]+: / {
    number = substr($2, 9, 2)
    if (!((number FS $1 FS $2) in named)) print "docs/conformance.md: not in the row of promise " number ": \"" $2 "\" in " $1
  }
' "$work/named" "$work/there" >>"$work/wrong"
[ -s "$work/named" ] || echo "docs/conformance.md names nothing" >>"$work/wrong"

cat "$work/wrong"
[ ! -s "$work/wrong" ]

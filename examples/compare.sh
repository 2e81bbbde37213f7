#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# compare.sh SOURCE PROGRAM [ARGUMENT...]: runs the program and compares what it prints with SOURCE's first comment (see example.cmake).
set -eu
source=$1
shift

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The first line of $work/expected is the manner; then come the lines.
awk '
  !/^\/\// { exit }
  /^\/\/ Prints.*:$/ { found = 1; manner = $0; sub(/^\/\/ Prints,? ?/, "", manner); sub(/:$/, "", manner); print manner; next }
  found && /^\/\/$/ { blank = blank "\n"; next }
  found { if ($0 !~ /^\/\/   /) exit; printf "%s%s\n", blank, substr($0, 6); blank = "" }
' "$source" >"$work/comment"
if [ ! -s "$work/comment" ]; then
  echo "$source: its first comment has no line '// Prints:'" >&2
  exit 1
fi
manner=$(head -n 1 "$work/comment")
tail -n +2 "$work/comment" >"$work/expected"

status=0
"$@" >"$work/printed" || status=$?
if [ "$status" -ne 0 ]; then
  cat "$work/printed"
  echo "$1 ended with $status" >&2
  exit 1
fi

case $manner in
  "") diff -u "$work/expected" "$work/printed" ;;
  "in any order")
    LC_ALL=C sort "$work/expected" >"$work/expected.sorted"
    LC_ALL=C sort "$work/printed" >"$work/printed.sorted"
    diff -u "$work/expected.sorted" "$work/printed.sorted" ;;
  "matching")
    # Line by line: the pattern must match the whole line.
    exec 3<"$work/expected" 4<"$work/printed"
    number=0
    while :; do
      number=$((number + 1))
      pattern_left=yes; IFS= read -r pattern <&3 || pattern_left=no
      line_left=yes; IFS= read -r line <&4 || line_left=no
      if [ "$pattern_left" = no ] && [ "$line_left" = no ]; then break; fi
      if [ "$pattern_left" = no ]; then echo "line $number was not expected: $line" >&2; exit 1; fi
      if [ "$line_left" = no ]; then echo "line $number is missing: $pattern" >&2; exit 1; fi
      if ! printf '%s\n' "$line" | grep -Eqx -e "$pattern"; then
        echo "line $number: '$line' does not match '$pattern'" >&2
        exit 1
      fi
    done ;;
  *) echo "$source: 'Prints, $manner:' is not known" >&2; exit 1 ;;
esac

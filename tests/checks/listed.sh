#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# listed.sh: every header and source of the libraries is listed once in its CMakeLists.txt, internal headers not at all
# (so they are never installed), and nothing is listed that does not exist. Runs in the project's root.
set -eu
failed=0
for library in framework actors; do
  cd "$library"
  listed=$(grep -oE '^ +cloister/[A-Za-z0-9_/-]+\.[hc]pp$' CMakeLists.txt | sed 's/^ *//' | sort)
  wanted=$(find cloister -name '*.cpp' -o -name '*.hpp' ! -path '*/internal/*' | sort)
  for file in $(printf '%s\n' "$listed" "$wanted" | sort -u); do
    times=$(printf '%s\n' "$listed" | grep -cxF "$file") || true
    if [ ! -e "$file" ]; then
      echo "$library/CMakeLists.txt lists $file, which does not exist"
      failed=1
    elif [ "$times" -ne 1 ]; then
      echo "$library/CMakeLists.txt lists $file $times times"
      failed=1
    elif ! printf '%s\n' "$wanted" | grep -qxF "$file"; then
      echo "$library/CMakeLists.txt lists $file, an internal header"
      failed=1
    fi
  done
  cd ..
done
exit $failed

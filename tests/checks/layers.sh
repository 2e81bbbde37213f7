#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# layers.sh: prints every #include that points the wrong way; fails if there is one. Runs in the project's root.
#   framework -> no header of the actors
#   what is installed -> nothing that is not (internal/, tests/)
#   public headers -> no Linux header (<sys/types.h>, which is POSIX, is allowed), no CAF but in caf.hpp and what it is made of
set -eu
failed=0

# complain FILES PATTERN WHY
complain() {
  if found=$(printf '%s\n' "$1" | xargs grep -nE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]$2"); then
    printf '%s\n' "$found" | sed "s|\$|    <- $3|"
    failed=1
  fi
}

framework=$(find framework -name '*.[hc]pp')
installed=$(find framework actors -name '*.hpp' ! -path '*/internal/*')
public=$(printf '%s\n' "$installed" | grep -v /detail/)
without_caf=$(printf '%s\n' "$installed" | grep -Ev '/cloister/(caf|detail/caf_bridge)\.hpp$')

complain "$framework" 'cloister/actors/' 'the framework knows no actor'
complain "$installed" '([^>"]*/)?internal/' 'internal/ is not installed'
complain "$public" 'linux/' 'a public header includes no Linux header'
complain "$public" 'sys/([^t]|t[^y])' 'a public header includes no Linux header'
complain "$without_caf" 'caf/' 'only cloister/caf.hpp is about CAF'
exit $failed

#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# hanging.sh TEST_PROGRAM: the harness ends its hanging case with status 3 and says its name.
set -u
said=$("$1" "a hanging case" 2>&1)
status=$?
printf '%s\n' "$said"
[ "$status" -eq 3 ] || { echo "status $status"; exit 1; }
case $said in
  *"s passed in: a hanging case"*) exit 0 ;;
esac
echo "the name is missing"
exit 1

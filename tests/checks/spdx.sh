#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# spdx.sh: line 1 of every source, header, script and CMake file is the licence tag (line 2 after a #! line). Runs in the project's root.
set -eu
failed=0
for file in $(find framework actors examples tests cmake scripts .ci CMakeLists.txt .clang-format .clang-tidy -type f \
  ! -name '*.json' ! -name '*.txt' ! -name '*.md' ! -path '*/corpus/*' ! -path '*/__pycache__/*') $(find . -name CMakeLists.txt ! -path './build/*'); do
  case $(head -n 1 "$file") in
    '#!'*) tag=$(sed -n 2p "$file") ;;
    *) tag=$(head -n 1 "$file") ;;
  esac
  case $tag in
    *'SPDX-License-Identifier: BSD-3-Clause'*) ;;
    *) echo "$file: no SPDX line"; failed=1 ;;
  esac
done
exit $failed

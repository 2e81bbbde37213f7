#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# installed.sh STEP CMAKE BUILD_DIR STAGE COMPILER: what the test calls itself (checks.cmake runs the steps in this order).
#   install     installs into STAGE and looks at what is there
#   cmake       configures the examples as a project of their own by find_package(cloister); builds and tests one for each library
#   pkg-config  the same with the compiler alone and `pkg-config cloister`; skipped (77) where there is no pkg-config
set -eu
step=$1 cmake=$2 build=$3 stage=$4 compiler=$5
project=$(pwd)
flags="${CLOISTER_STAGE_FLAGS:-}"

run_hello() { sh "$project/examples/compare.sh" "$project/examples/hello.cpp" "$1"; }

case $step in
  install)
    rm -rf "$stage"
    "$cmake" --install "$build" --prefix "$stage/usr" >/dev/null
    # Every header that is not internal, and nothing else.
    for library in framework actors; do (cd "$library" && find cloister -name '*.hpp' ! -path '*/internal/*'); done | sort >"$stage/wanted"
    (cd "$stage/usr/include" && find . -type f | sed 's|^\./||') | sort >"$stage/found"
    diff "$stage/wanted" "$stage/found"
    if grep -rlF "$project" "$stage/usr" --include='*.cmake' --include='*.pc' --include='*.hpp'; then
      echo "names the source tree" >&2
      exit 1
    fi ;;
  cmake)
    "$cmake" -S examples -B "$stage/examples" -DCMAKE_PREFIX_PATH="$stage/usr" -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_CXX_FLAGS="$flags"
    "$cmake" --build "$stage/examples" --parallel "$(nproc)" --target hello pooled from_caf
    cd "$stage/examples"
    "$(dirname "$cmake")/ctest" --output-on-failure --no-tests=error -R '^example: (hello|pooled|from_caf)$' ;;
  pkg-config)
    command -v pkg-config >/dev/null || exit 77
    PKG_CONFIG_PATH=$(dirname "$(find "$stage/usr" -name cloister.pc)")
    export PKG_CONFIG_PATH
    # shellcheck disable=SC2046,SC2086  # flags are words
    "$compiler" -std=c++20 $flags examples/hello.cpp -o "$stage/hello" $(pkg-config --cflags --libs cloister)
    run_hello "$stage/hello" ;;
esac

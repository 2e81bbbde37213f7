#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# find_caf.sh CMAKE COMPILER DIR: a project that finds CAF by cmake/FindCAF.cmake builds and runs an actor. Skipped (77) where CAF is not installed.
set -eu
cmake=$1 compiler=$2 dir=$3
echo '#include <caf/config.hpp>' | "$compiler" -x c++ -E - >/dev/null 2>&1 || exit 77

mkdir -p "$dir"
cat >"$dir/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.23)
project(find_caf LANGUAGES CXX)
list(APPEND CMAKE_MODULE_PATH $(pwd)/cmake)
find_package(CAF 0.17.6 REQUIRED COMPONENTS core io)
add_executable(hello hello.cpp)
target_compile_features(hello PRIVATE cxx_std_20)
target_link_libraries(hello PRIVATE CAF::core CAF::io)
END
cat >"$dir/hello.cpp" <<'END'
#include <caf/all.hpp>
#include <caf/io/all.hpp>
#include <iostream>
int main() {
  caf::actor_system_config config;
  config.load<caf::io::middleman>();
  caf::actor_system system{config};
  system.spawn([](caf::event_based_actor*) { std::cout << "hello\n"; });
}
END
"$cmake" -S "$dir" -B "$dir/build" -DCMAKE_CXX_COMPILER="$compiler"
"$cmake" --build "$dir/build"
[ "$("$dir/build/hello")" = hello ]

# SPDX-License-Identifier: BSD-3-Clause
# The functions of which tests/CMakeLists.txt is made.
find_package(Catch2 REQUIRED)
include(Catch)

# What tests link: the harness with Catch2's code, compiled once, and one of the main functions.
add_library(cloister_harness OBJECT harness.cpp)
target_link_libraries(cloister_harness PUBLIC cloister_framework Catch2::Catch2)
add_library(cloister_main OBJECT main.cpp)
target_link_libraries(cloister_main PUBLIC cloister_harness)
# What nearly all tests include, compiled once: a third of the time that each takes.
target_precompile_headers(cloister_main PRIVATE process_support.hpp)
if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/main_node.cpp)
  add_library(cloister_main_node OBJECT main_node.cpp)
  target_link_libraries(cloister_main_node PUBLIC cloister_harness)
endif()

# cloister_test(NAME queue SOURCES queue.test.cpp ... [NODE] [PROPERTIES name value ...])
# One executable test_queue; each of its cases is a test named by its sentence, with the label `queue`.
# NODE: main begins with a node (main_node.cpp). The time limit is a backstop; the harness's deadline ends a case much sooner.
function(cloister_test)
  cmake_parse_arguments(arg "NODE" "NAME" "SOURCES;PROPERTIES" ${ARGN})
  set(main cloister_main)
  if(arg_NODE)
    set(main cloister_main_node)
  endif()
  add_executable(test_${arg_NAME} ${arg_SOURCES}
    $<TARGET_OBJECTS:cloister_harness> $<TARGET_OBJECTS:${main}>)
  target_link_libraries(test_${arg_NAME} PRIVATE cloister_framework Catch2::Catch2)
  target_precompile_headers(test_${arg_NAME} REUSE_FROM cloister_main)
  catch_discover_tests(test_${arg_NAME}
    TEST_PREFIX "${arg_NAME}/"
    PROPERTIES TIMEOUT 1200 LABELS ${arg_NAME} ${arg_PROPERTIES})
endfunction()

# cloister_refuses(NAME "a capture does not travel" SOURCE refused/capture.cpp EXPECT "sentence" [DEFINES CASE=2 ...])
# The source must not compile, and the compiler must say the sentence. If it mentions CLOISTER_RIGHT, it must compile with that defined.
function(cloister_refuses)
  cmake_parse_arguments(arg "" "NAME;SOURCE;EXPECT" "DEFINES" ${ARGN})
  list(TRANSFORM arg_DEFINES PREPEND -D)
  add_test(NAME "refused: ${arg_NAME}"
    COMMAND sh ${PROJECT_SOURCE_DIR}/tests/checks/refused.sh ${arg_EXPECT} ${CMAKE_CURRENT_SOURCE_DIR}/${arg_SOURCE}
      ${CMAKE_CXX_COMPILER} -std=c++20 -I${PROJECT_SOURCE_DIR}/framework -I${PROJECT_SOURCE_DIR}/actors ${arg_DEFINES})
  set_tests_properties("refused: ${arg_NAME}" PROPERTIES TIMEOUT 300 LABELS refused)
endfunction()

# cloister_program(NAME model_leases SOURCES models/leases.cpp ARGS ... [PROPERTIES name value ...])
# A program that is a test by itself: it passes if it exits with 0.
function(cloister_program)
  cmake_parse_arguments(arg "" "NAME" "SOURCES;ARGS;PROPERTIES" ${ARGN})
  add_executable(${arg_NAME} ${arg_SOURCES})
  target_link_libraries(${arg_NAME} PRIVATE cloister_framework)
  add_test(NAME ${arg_NAME} COMMAND ${arg_NAME} ${arg_ARGS})
  set_tests_properties(${arg_NAME} PROPERTIES TIMEOUT 1200 ${arg_PROPERTIES})
endfunction()

# cloister_check(NAME "sentence" SCRIPT x.sh [ARGS ...] [PROPERTIES name value ...])
# A POSIX shell script of tests/checks: passes with 0, is skipped with 77.
function(cloister_check)
  cmake_parse_arguments(arg "" "NAME;SCRIPT" "ARGS;PROPERTIES" ${ARGN})
  add_test(NAME "checks: ${arg_NAME}" COMMAND sh ${PROJECT_SOURCE_DIR}/tests/checks/${arg_SCRIPT} ${arg_ARGS}
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties("checks: ${arg_NAME}" PROPERTIES TIMEOUT 600 LABELS checks SKIP_RETURN_CODE 77 ${arg_PROPERTIES})
endfunction()

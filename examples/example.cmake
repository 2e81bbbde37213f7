# SPDX-License-Identifier: BSD-3-Clause
# cloister_example(NAME [ARGS ...] [SOURCES more.cpp ...] [LIBRARIES ...] [TIMEOUT seconds])
# Builds NAME.cpp, and runs it as a test that compares what it prints with the first comment of NAME.cpp:
#
#   // Prints:                 the lines exactly
#   // Prints, in any order:   the lines, sorted
#   // Prints, matching:       each line is a POSIX extended regular expression
#   //   hello bob             from here to the end of the comment, indented by two more blanks
#
# It must exit with 0 within the time limit (60 s).
function(cloister_example name)
  cmake_parse_arguments(arg "" "TIMEOUT" "ARGS;SOURCES;LIBRARIES" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  add_executable(${name} ${name}.cpp ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE cloister::framework ${arg_LIBRARIES})
  add_test(NAME "example: ${name}"
    COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/compare.sh ${CMAKE_CURRENT_SOURCE_DIR}/${name}.cpp $<TARGET_FILE:${name}> ${arg_ARGS})
  set_tests_properties("example: ${name}" PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS examples)
endfunction()

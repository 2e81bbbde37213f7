# SPDX-License-Identifier: BSD-3-Clause
# Tests of the project itself: layers, lists, documentation, headers, and what is installed.
cloister_check(NAME "no include points the wrong way" SCRIPT layers.sh)
cloister_check(NAME "every file of the libraries is listed once" SCRIPT listed.sh)
cloister_check(NAME "every file begins with its licence" SCRIPT spdx.sh)
cloister_check(NAME "fault points are those of the table and of the documentation" SCRIPT fault_points.sh)
cloister_check(NAME "code in the documentation is code of examples" SCRIPT docs_code.sh)
cloister_check(NAME "the map of behaviours and promises names tests that there are" SCRIPT conformance.sh)
if(NOT CMAKE_CXX_FLAGS MATCHES "fsanitize|coverage")  # whose own calls are everywhere
  get_target_property(kind cloister_framework TYPE)
  set(linked node_program)
  if(kind STREQUAL "SHARED_LIBRARY")
    set(linked cloister_framework)
  endif()
  cloister_check(NAME "the launcher, signal handlers and forked children make async-signal-safe calls only" SCRIPT signal_safe.sh
    ARGS $<TARGET_FILE:${linked}>)
endif()
cloister_check(NAME "a case that hangs is ended and named" SCRIPT hanging.sh ARGS $<TARGET_FILE:test_harness> PROPERTIES TIMEOUT 60)

# Each header compiles alone: with this build's compiler and, for public headers, with the other one if it is there.
set(other)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(other clang++)
else()
  set(other g++)
endif()
find_program(CLOISTER_OTHER_COMPILER ${other})
mark_as_advanced(CLOISTER_OTHER_COMPILER)

function(header_alone test compiler header)
  add_test(NAME ${test}
    COMMAND ${compiler} -std=c++20 -Wall -Wextra -Wpedantic -Wshadow -Werror -fsyntax-only -x c++
      -I${PROJECT_SOURCE_DIR}/framework -I${PROJECT_SOURCE_DIR}/actors -include ${header} /dev/null)
  set_tests_properties(${test} PROPERTIES TIMEOUT 300 LABELS headers)
endfunction()

if(NOT CMAKE_BUILD_TYPE STREQUAL "Release")  # it would show nothing new
  foreach(library framework actors)
    get_target_property(headers cloister_${library} HEADER_SET)
    foreach(header ${headers})
      file(RELATIVE_PATH name ${PROJECT_SOURCE_DIR}/${library} ${header})
      if(NOT name MATCHES "-inl\\.hpp$")
        header_alone("header: <${name}> compiles alone" ${CMAKE_CXX_COMPILER} ${name})
        if(CLOISTER_OTHER_COMPILER AND NOT name MATCHES "/detail/")
          header_alone("header: <${name}> compiles alone with ${other}" ${CLOISTER_OTHER_COMPILER} ${name})
        endif()
      endif()
    endforeach()
  endforeach()
endif()

if(CLOISTER_INSTALL)
  foreach(step install cmake pkg-config)
    cloister_check(NAME "an installed cloister serves: ${step}" SCRIPT installed.sh
      ARGS ${step} ${CMAKE_COMMAND} ${PROJECT_BINARY_DIR} ${PROJECT_BINARY_DIR}/stage ${CMAKE_CXX_COMPILER})
  endforeach()
  set_tests_properties("checks: an installed cloister serves: install" PROPERTIES FIXTURES_SETUP stage)
  set_tests_properties("checks: an installed cloister serves: cmake" "checks: an installed cloister serves: pkg-config" PROPERTIES
    FIXTURES_REQUIRED stage)
  set_tests_properties(
    "checks: an installed cloister serves: install" "checks: an installed cloister serves: cmake"
    "checks: an installed cloister serves: pkg-config"
    PROPERTIES ENVIRONMENT "CLOISTER_STAGE_FLAGS=${CMAKE_CXX_FLAGS}")
endif()

# CAF has no package files of its own; ours are tried where it is installed.
cloister_check(NAME "our find module finds CAF" SCRIPT find_caf.sh ARGS ${CMAKE_COMMAND} ${CMAKE_CXX_COMPILER} ${PROJECT_BINARY_DIR}/find_caf)

# SPDX-License-Identifier: BSD-3-Clause
# Which peers of the benchmark are installed: an imported target bench_peer::NAME for each that is.
function(bench_peer name)
  cmake_parse_arguments(arg "" "" "INCLUDE;LIBRARIES" ${ARGN})
  foreach(found IN LISTS arg_INCLUDE arg_LIBRARIES)
    if(NOT found)
      message(STATUS "Benchmark: ${name} is not installed")
      return()
    endif()
  endforeach()
  add_library(bench_peer::${name} INTERFACE IMPORTED)
  target_include_directories(bench_peer::${name} SYSTEM INTERFACE ${arg_INCLUDE})
  target_link_libraries(bench_peer::${name} INTERFACE ${arg_LIBRARIES} Threads::Threads)
endfunction()

find_package(Threads REQUIRED)

find_path(BENCH_BOOST_INCLUDE boost/interprocess/ipc/message_queue.hpp)
bench_peer(boost INCLUDE ${BENCH_BOOST_INCLUDE} LIBRARIES rt)

find_path(BENCH_ZEROMQ_INCLUDE zmq.h)
find_library(BENCH_ZEROMQ_LIBRARY zmq)
bench_peer(zeromq INCLUDE ${BENCH_ZEROMQ_INCLUDE} LIBRARIES ${BENCH_ZEROMQ_LIBRARY})

# The contestant is written for 0.17, which is what distributions have.
list(APPEND CMAKE_MODULE_PATH ${CMAKE_CURRENT_LIST_DIR}/../../cmake)
find_package(CAF QUIET COMPONENTS core io)
if(CAF_FOUND AND CAF_VERSION VERSION_LESS 0.18)
  bench_peer(caf LIBRARIES CAF::io CAF::core)
else()
  message(STATUS "Benchmark: caf 0.17 is not installed")
endif()
mark_as_advanced(BENCH_BOOST_INCLUDE BENCH_ZEROMQ_INCLUDE BENCH_ZEROMQ_LIBRARY)

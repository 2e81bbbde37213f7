# SPDX-License-Identifier: BSD-3-Clause
# Finds the C++ Actor Framework where it brings no package files of its own (Debian's and Ubuntu's libcaf-dev).
#
#   find_package(CAF 0.17.6 REQUIRED COMPONENTS core io openssl)
#
# Targets: CAF::core, CAF::io, CAF::openssl; without COMPONENTS, all that are there. Variables: CAF_FOUND, CAF_VERSION, CAF_<component>_FOUND.
# A CAF that has package files (CAFConfig.cmake, from 0.18 on) is taken by them instead: call find_package(CAF CONFIG).
find_path(CAF_INCLUDE_DIR caf/config.hpp)
mark_as_advanced(CAF_INCLUDE_DIR)

if(CAF_INCLUDE_DIR)
  file(STRINGS ${CAF_INCLUDE_DIR}/caf/config.hpp line REGEX "#define CAF_VERSION [0-9]+")
  if(line MATCHES "CAF_VERSION ([0-9]+)")  # major * 10000 + minor * 100 + patch
    math(EXPR major "${CMAKE_MATCH_1} / 10000")
    math(EXPR minor "${CMAKE_MATCH_1} / 100 % 100")
    math(EXPR patch "${CMAKE_MATCH_1} % 100")
    set(CAF_VERSION ${major}.${minor}.${patch})
  endif()
endif()

if(NOT CAF_FIND_COMPONENTS)
  set(CAF_FIND_COMPONENTS core io openssl)
endif()
foreach(component ${CAF_FIND_COMPONENTS})
  find_library(CAF_${component}_LIBRARY caf_${component})
  mark_as_advanced(CAF_${component}_LIBRARY)
  if(CAF_INCLUDE_DIR AND CAF_${component}_LIBRARY)
    set(CAF_${component}_FOUND TRUE)
  endif()
endforeach()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CAF REQUIRED_VARS CAF_INCLUDE_DIR VERSION_VAR CAF_VERSION HANDLE_COMPONENTS)

if(CAF_FOUND)
  find_package(Threads REQUIRED)
  foreach(component ${CAF_FIND_COMPONENTS})
    if(CAF_${component}_FOUND AND NOT TARGET CAF::${component})
      add_library(CAF::${component} UNKNOWN IMPORTED)
      set_target_properties(CAF::${component} PROPERTIES
        IMPORTED_LOCATION ${CAF_${component}_LIBRARY}
        INTERFACE_INCLUDE_DIRECTORIES ${CAF_INCLUDE_DIR})
      if(component STREQUAL "core")
        target_link_libraries(CAF::core INTERFACE Threads::Threads)
        target_compile_options(CAF::core INTERFACE -fno-sanitize=null)  # its headers bind references to empty tuples that are not there
      else()
        target_link_libraries(CAF::${component} INTERFACE CAF::core)
      endif()
    endif()
  endforeach()
endif()

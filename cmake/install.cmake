# SPDX-License-Identifier: BSD-3-Clause
# Installs the libraries and their headers, and what find_package(cloister) and pkg-config cloister need.
include(CMakePackageConfigHelpers)

set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/cloister)

install(TARGETS cloister_framework cloister_caf cloister_actors EXPORT cloisterTargets FILE_SET HEADERS)
install(EXPORT cloisterTargets NAMESPACE cloister:: DESTINATION ${config_dir})

configure_package_config_file(cmake/cloisterConfig.cmake.in cloisterConfig.cmake INSTALL_DESTINATION ${config_dir})
write_basic_package_version_file(cloisterConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/cloisterConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/cloisterConfigVersion.cmake
  cmake/FindCAF.cmake DESTINATION ${config_dir})

# The .pc file finds its prefix from where it lies, so that a staged or moved tree works.
file(RELATIVE_PATH pc_to_prefix /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
string(REGEX REPLACE "/$" "" pc_to_prefix ${pc_to_prefix})
configure_file(cmake/cloister.pc.in cloister.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/cloister.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

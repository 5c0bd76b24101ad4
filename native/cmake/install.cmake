# What a C application finds: header, both libraries, find_package(edge_rai) and pkg-config --cflags --libs edge_rai.
# Component `native`, so that the Python wheel, which installs component `python`, carries none of it.
include(CMakePackageConfigHelpers)
set(ERAI_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/edge_rai)

install(TARGETS edge_rai_shared edge_rai_static EXPORT edge_rai_targets COMPONENT native)
install(FILES include/edge_rai.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT native)
install(EXPORT edge_rai_targets NAMESPACE edge_rai:: DESTINATION ${ERAI_CMAKE_DIR} COMPONENT native)

configure_package_config_file(cmake/edge_rai-config.cmake.in edge_rai-config.cmake
                              INSTALL_DESTINATION ${ERAI_CMAKE_DIR})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(edge_rai-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/edge_rai-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/edge_rai-config-version.cmake
        DESTINATION ${ERAI_CMAKE_DIR} COMPONENT native)

# The prefix is relative to the file, so that an installed tree may be moved.
file(RELATIVE_PATH ERAI_PC_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" ERAI_PC_PREFIX ${ERAI_PC_PREFIX})
configure_file(cmake/edge_rai.pc.in edge_rai.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/edge_rai.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT native)

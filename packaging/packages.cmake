# `cpack -G DEB --config build/<preset>/CPackConfig.cmake`: the installation as a package.
set(CPACK_PACKAGE_NAME halod)
set(CPACK_PACKAGE_VENDOR halod)
set(CPACK_PACKAGE_CONTACT "The halod developers <halod@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Inference daemon for Mixture-of-Experts language models")
set(CPACK_PACKAGE_DESCRIPTION "halod serves language models over an OpenAI-compatible HTTP API, as a systemd service. It is made for AMD Strix Halo
machines. With it come haloctl, which controls it, halo-bench, which measures, and a small demo model.")
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_PREFIX /usr)
# So that the prefix is /usr during the installation too, and /etc is not below it.
set(CPACK_SET_DESTDIR ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_GENERATOR DEB)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "systemd (>= 252), init-system-helpers (>= 1.54)")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "dbus, polkitd")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "power-profiles-daemon")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  ${CMAKE_CURRENT_SOURCE_DIR}/deb/conffiles ${CMAKE_CURRENT_SOURCE_DIR}/deb/postinst
  ${CMAKE_CURRENT_SOURCE_DIR}/deb/prerm ${CMAKE_CURRENT_SOURCE_DIR}/deb/postrm)
include(CPack)

# `make package`: the installation as packages, by `cpack -G DEB` and `cpack -G RPM` with build/<preset>/CPackConfig.cmake.
#
#   halod        the service: daemon, engine, unit, configuration, D-Bus, polkit, demo model
#   haloctl      the command line; alone on machines that look after another one's halod
#   halod-bench  halo-bench, which measures, and which `haloctl inspect` and `haloctl doctor` ask
#
# There is no halod-hip: the GPU's kernels are data inside halo-engine (4 MB), and ROCm's runtime is opened by name where it is
# installed. So one package serves machines with and without a GPU, and depends on nothing of ROCm.
set(CPACK_PACKAGE_NAME halod)
set(CPACK_PACKAGE_VENDOR halod)
set(CPACK_PACKAGE_CONTACT "The halod developers <halod@halod.invalid>")
# Each package has its own, below. The project's would be put before every one of them.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_PREFIX /usr)
# So that the prefix is /usr during the installation too, and /etc is not below it.
set(CPACK_SET_DESTDIR ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_GENERATOR DEB)
set(CPACK_COMPONENTS_ALL halod haloctl bench)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_HALOD_PACKAGING_DIR ${CMAKE_CURRENT_SOURCE_DIR})
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_SOURCE_DIR}/prepare-package.cmake)

# What `apt show` and `rpm -qi` say. A summary is no sentence and does not begin with an article or the package's name.
set(halod_summary "Inference daemon for Mixture-of-Experts language models")
set(halod_text "halod serves language models over an OpenAI-compatible HTTP API, as a systemd
service that is controlled over D-Bus. It is made for AMD Strix Halo machines;
without a GPU it computes on the CPU. A small demo model comes with it.")
set(haloctl_summary "Control and look after a halod inference daemon")
set(haloctl_text "haloctl shows what a halod serves, loads and swaps models over D-Bus or HTTP,
downloads models, says whether a model file fits, and checks whether a machine
is set up for large models.")
set(bench_summary "Measurements of the halod inference runtime")
set(bench_text "halo-bench measures memory bandwidth, kernels and the speed of models, and
holds every kernel of halod against its reference.")

# ---- Debian
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_HALOD_PACKAGE_NAME halod)
set(CPACK_DEBIAN_HALOD_PACKAGE_DEPENDS "systemd (>= 252), init-system-helpers (>= 1.54)")
set(CPACK_DEBIAN_HALOD_PACKAGE_RECOMMENDS "dbus, polkitd, haloctl")
set(CPACK_DEBIAN_HALOD_PACKAGE_SUGGESTS "power-profiles-daemon, halod-bench")
set(CPACK_DEBIAN_HALOD_PACKAGE_CONTROL_EXTRA
  ${CMAKE_CURRENT_SOURCE_DIR}/deb/conffiles ${CMAKE_CURRENT_SOURCE_DIR}/deb/postinst
  ${CMAKE_CURRENT_SOURCE_DIR}/deb/prerm ${CMAKE_CURRENT_SOURCE_DIR}/deb/postrm)
set(CPACK_DEBIAN_HALOCTL_PACKAGE_NAME haloctl)
set(CPACK_DEBIAN_HALOCTL_PACKAGE_SUGGESTS halod-bench)
set(CPACK_DEBIAN_BENCH_PACKAGE_NAME halod-bench)

# ---- Fedora. packaging/rpm/halod.spec, for COPR, makes the same packages by Fedora's own rules, and has the weak dependencies, which
# CPack does not write with every rpmbuild.
set(CPACK_RPM_COMPONENT_INSTALL ON)
set(CPACK_RPM_MAIN_COMPONENT halod)
set(CPACK_RPM_FILE_NAME RPM-DEFAULT)
set(CPACK_RPM_PACKAGE_RELEASE_DIST ON)
set(CPACK_RPM_PACKAGE_LICENSE "Apache-2.0 AND MIT")
set(CPACK_RPM_PACKAGE_GROUP Unspecified)
set(CPACK_PACKAGE_RELOCATABLE OFF)
# They serve packages of debugging information, which are not made here.
set(CPACK_RPM_SPEC_MORE_DEFINE "%define _build_id_links none")
set(CPACK_RPM_HALOD_PACKAGE_NAME halod)
set(CPACK_RPM_HALOD_PACKAGE_REQUIRES "systemd >= 252")
set(CPACK_RPM_HALOD_PACKAGE_REQUIRES_PRE "systemd")
set(CPACK_RPM_HALOD_POST_INSTALL_SCRIPT_FILE ${CMAKE_CURRENT_SOURCE_DIR}/rpm/post)
set(CPACK_RPM_HALOD_PRE_UNINSTALL_SCRIPT_FILE ${CMAKE_CURRENT_SOURCE_DIR}/rpm/preun)
set(CPACK_RPM_HALOD_POST_UNINSTALL_SCRIPT_FILE ${CMAKE_CURRENT_SOURCE_DIR}/rpm/postun)
set(CPACK_RPM_HALOD_USER_FILELIST "%attr(0640,root,halod) %config(noreplace) /etc/halod/halod.yaml" "%license /usr/share/doc/halod/LICENSE"
  "%license /usr/share/doc/halod/NOTICE")
set(CPACK_RPM_HALOCTL_PACKAGE_NAME haloctl)
set(CPACK_RPM_HALOCTL_USER_FILELIST "%license /usr/share/doc/haloctl/LICENSE" "%license /usr/share/doc/haloctl/NOTICE")
set(CPACK_RPM_BENCH_PACKAGE_NAME halod-bench)
set(CPACK_RPM_BENCH_USER_FILELIST "%license /usr/share/doc/halod-bench/LICENSE" "%license /usr/share/doc/halod-bench/NOTICE")
# Folders of other packages.
set(CPACK_RPM_EXCLUDE_FROM_AUTO_FILELIST_ADDITION
  /etc /usr/lib/systemd /usr/lib/systemd/catalog /usr/lib/systemd/system /usr/lib/sysusers.d /usr/lib/tmpfiles.d /usr/lib/udev
  /usr/lib/udev/rules.d /usr/libexec /usr/share/dbus-1 /usr/share/dbus-1/interfaces /usr/share/dbus-1/system.d
  /usr/share/dbus-1/system-services /usr/share/polkit-1 /usr/share/polkit-1/actions /usr/share/polkit-1/rules.d
  /usr/share/bash-completion /usr/share/bash-completion/completions /usr/share/zsh /usr/share/zsh/site-functions /usr/share/fish
  /usr/share/fish/vendor_completions.d /usr/share/man /usr/share/man/man1 /usr/share/man/man8 /usr/share/doc)

foreach(component halod haloctl bench)
  string(TOUPPER ${component} COMPONENT)
  set(CPACK_DEBIAN_${COMPONENT}_DESCRIPTION "${${component}_summary}\n${${component}_text}")
  set(CPACK_RPM_${COMPONENT}_PACKAGE_SUMMARY "${${component}_summary}")
  set(CPACK_RPM_${COMPONENT}_PACKAGE_DESCRIPTION "${${component}_text}")
endforeach()
include(CPack)

# What `cmake --install` puts where: programs, demo model, documentation, licence. What makes it a service: packaging/.
# Each rule names its component, which is a package (packaging/packages.cmake): halod, haloctl or bench.
include(GNUInstallDirs)
foreach(program_and_component "halod halod" "haloctl haloctl" "halo-bench bench")
  separate_arguments(words UNIX_COMMAND ${program_and_component})
  list(GET words 0 program)
  list(GET words 1 component)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT ${component})
  endif()
endforeach()
# Not for people's PATH. halod looks for it there, whatever the prefix.
install(TARGETS halo-engine RUNTIME DESTINATION libexec/halod COMPONENT halod)
install(FILES ${CMAKE_SOURCE_DIR}/models/demo-moe-Q8_0.gguf ${CMAKE_SOURCE_DIR}/models/README.md
        DESTINATION ${CMAKE_INSTALL_DATADIR}/halod/models COMPONENT halod)
if(TARGET haloctl)
  get_property(folder TARGET haloctl PROPERTY BINARY_DIR)
  install(FILES ${folder}/haloctl.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT haloctl)
  install(FILES ${folder}/haloctl.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME haloctl COMPONENT haloctl)
  install(FILES ${folder}/_haloctl DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions COMPONENT haloctl)
  install(FILES ${folder}/haloctl.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT haloctl)
endif()
install(FILES ${CMAKE_SOURCE_DIR}/docs/man/halod.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8 COMPONENT halod)
install(FILES ${CMAKE_SOURCE_DIR}/docs/man/halo-bench.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT bench)
install(FILES README.md ARCHITECTURE.md docs/getting-started.md docs/systemd.md docs/dbus.md docs/upgrade.md docs/troubleshooting.md docs/tuning.md
              docs/migration.md
        DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT halod)
# Every package has its licence: LICENSE and NOTICE, and on Debian `copyright` instead of the first (packaging/prepare-package.cmake).
foreach(component_and_folder "halod halod" "haloctl haloctl" "bench halod-bench")
  separate_arguments(words UNIX_COMMAND ${component_and_folder})
  list(GET words 0 component)
  list(GET words 1 folder)
  install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/NOTICE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${folder}
          COMPONENT ${component})
endforeach()

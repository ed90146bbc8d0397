# What `cmake --install` puts where: programs, demo model, documentation, licence. What makes it a service: packaging/.
include(GNUInstallDirs)
foreach(program halod haloctl halo-bench)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()
# Not for people's PATH. halod looks for it there, whatever the prefix.
install(TARGETS halo-engine RUNTIME DESTINATION libexec/halod)
install(FILES ${CMAKE_SOURCE_DIR}/models/demo-moe-Q8_0.gguf ${CMAKE_SOURCE_DIR}/models/README.md
        DESTINATION ${CMAKE_INSTALL_DATADIR}/halod/models)
if(TARGET haloctl)
  get_property(folder TARGET haloctl PROPERTY BINARY_DIR)
  install(FILES ${folder}/haloctl.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${folder}/haloctl.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME haloctl)
  install(FILES ${folder}/_haloctl DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  install(FILES ${folder}/haloctl.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()
install(FILES ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/ARCHITECTURE.md ${CMAKE_SOURCE_DIR}/docs/systemd.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${CMAKE_SOURCE_DIR}/docs/man/halod.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
# The name that Debian's policy asks for.
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)
install(FILES ${CMAKE_SOURCE_DIR}/NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})

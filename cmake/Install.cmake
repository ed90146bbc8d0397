# What `cmake --install` puts where: programs, default configuration, demo model, unit, documentation, licence.
include(GNUInstallDirs)
foreach(program halod halo-engine haloctl halo-bench)
  if(TARGET ${program})
    # halod looks for halo-engine in its own folder.
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()
install(FILES ${CMAKE_SOURCE_DIR}/models/demo-moe-Q8_0.gguf ${CMAKE_SOURCE_DIR}/models/README.md
        DESTINATION ${CMAKE_INSTALL_DATADIR}/halod/models)
install(FILES ${CMAKE_SOURCE_DIR}/etc/halod.yaml DESTINATION ${CMAKE_INSTALL_SYSCONFDIR}/halod)
install(FILES ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/ARCHITECTURE.md ${CMAKE_SOURCE_DIR}/LICENSE
        DESTINATION ${CMAKE_INSTALL_DOCDIR})

# The unit names absolute paths, which are known only when the prefix is: at the time of installation.
install(CODE "
  set(HALOD_BINDIR \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
  set(HALOD_SYSCONFDIR \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_SYSCONFDIR}/halod\")
  configure_file(\"${CMAKE_SOURCE_DIR}/packaging/systemd/halod.service.in\" \"${CMAKE_BINARY_DIR}/halod.service\" @ONLY)
")
install(FILES ${CMAKE_BINARY_DIR}/halod.service DESTINATION lib/systemd/system)

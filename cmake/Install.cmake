# What `cmake --install` puts where: programs, default configuration, demo model, unit, licence.
include(GNUInstallDirs)
foreach(program halod halo-engine haloctl halo-bench)
  if(TARGET ${program})
    # halod looks for halo-engine in its own folder.
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()
install(FILES ${CMAKE_SOURCE_DIR}/models/demo-moe-Q8_0.gguf ${CMAKE_SOURCE_DIR}/models/README.md
        DESTINATION ${CMAKE_INSTALL_DATADIR}/halod/models)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

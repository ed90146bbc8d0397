# Warnings, sanitizers and the include root, carried by one interface target that every target of ours links.
add_library(halod_options INTERFACE)
target_include_directories(halod_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(halod_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-qual -Woverloaded-virtual
  -Wimplicit-fallthrough -Wextra-semi)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports false positives of these from inlined library code (PR 105329, PR 107852).
  target_compile_options(halod_options INTERFACE -Wno-restrict -Wno-stringop-overflow -Wno-missing-field-initializers
    -Wno-maybe-uninitialized -Wno-array-bounds
    # Coroutine frames whose promise has its own operator delete (Asio's), seen with -fsanitize.
    -Wno-mismatched-new-delete)
else()
  target_compile_options(halod_options INTERFACE -Wno-missing-field-initializers)
endif()
if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Anonymous namespaces of sources that are included into one look to GCC as if they came from headers.
  target_compile_options(halod_options INTERFACE -Wno-subobject-linkage)
endif()
if(HALOD_WERROR)
  target_compile_options(halod_options INTERFACE -Werror)
endif()

if(HALOD_SANITIZER STREQUAL "address")
  # Of UndefinedBehaviorSanitizer all but four checks at every dereference: what they find AddressSanitizer finds too, or, for alignment, only
  # the kernels could do wrong (kernels/CMakeLists.txt asks for it again). They double the time to compile coroutines.
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
    -fno-sanitize=null,vptr,object-size,alignment)
  add_link_options(-fsanitize=address,undefined)
elseif(HALOD_SANITIZER STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Asio fences around its handlers; its queues synchronise by mutexes, which is what ThreadSanitizer sees.
    add_compile_options(-Wno-tsan)
  endif()
  add_link_options(-fsanitize=thread)
elseif(HALOD_SANITIZER)
  message(FATAL_ERROR "HALOD_SANITIZER is '${HALOD_SANITIZER}'; it takes address, thread, or nothing")
endif()

if(HALOD_BUILD_FUZZERS)
  # Coverage feedback from every library, so that the fuzzers see into what they call; main() comes with each target.
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()

# ccache only as an extra: builds must be quick enough without it.
find_program(HALOD_CCACHE ccache)
if(HALOD_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${HALOD_CCACHE})
endif()

# halod_precompile_headers(<target> <headers>): as target_precompile_headers, without ccache for that target. ccache 4.7 handles
# precompiled headers with special settings only, and now and then loses their dependency file, which fails the build.
function(halod_precompile_headers target)
  target_precompile_headers(${target} PRIVATE ${ARGN})
  set_target_properties(${target} PROPERTIES CXX_COMPILER_LAUNCHER "")
endfunction()

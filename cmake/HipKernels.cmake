# Compiles HIP kernels to code objects with a plain clang: no ROCm, no HIP headers, no device libraries. hipcc does it with ROCm's.
#
# HALOD_HIP: AUTO takes a clang >= 18 with AMD's target where there is one and says so where there is none; ON fails without; OFF
# builds no device code. HALOD_HIP_TARGETS: the GPUs. HALOD_HIP_COMPILER: this compiler and no other.
set(HALOD_HIP AUTO CACHE STRING "Build GPU kernels: AUTO (where a clang for AMD GPUs is found), ON, OFF")
set_property(CACHE HALOD_HIP PROPERTY STRINGS AUTO ON OFF)
set(HALOD_HIP_TARGETS gfx1151 gfx1150 gfx1100 CACHE STRING "AMD GPUs to build kernels for")
set(HALOD_HIP_COMPILER "" CACHE STRING "Compiler of the GPU kernels: a clang, amdclang++ or hipcc; empty: the first that can do it")

set(HALOD_HIP_FLAGS -x hip --cuda-device-only --no-gpu-bundle-output
  # The oldest that today's runtimes load, ROCm 5.7 on.
  -mcode-object-version=5
  # Whether a loop was unrolled the resource check shows; compilers differ in what they say about it.
  -O3 -std=c++20 -Wall -Wextra -Wno-pass-failed
  # A result's rounding must not depend on what the compiler could join: sums are the same bits for every number of rows.
  -ffp-contract=off -I${CMAKE_SOURCE_DIR})
if(NOT HALOD_HIP_COMPILER MATCHES "hipcc[^/]*$")
  list(APPEND HALOD_HIP_FLAGS -nogpuinc -nogpulib -DHALOD_GPU_BARE)
endif()

if(HALOD_WERROR)
  list(APPEND HALOD_HIP_FLAGS -Werror)
endif()

# Sets HALOD_HIP_CLANG, HALOD_HIP_READELF and HALOD_HIP_OBJDUMP, and HALOD_BUILDS_HIP.
function(halod_find_hip_clang)
  set(HALOD_BUILDS_HIP FALSE PARENT_SCOPE)
  if(HALOD_HIP STREQUAL "OFF")
    return()
  endif()
  set(places "$ENV{ROCM_PATH}/llvm/bin" /opt/rocm/llvm/bin /usr/lib64/rocm/llvm/bin)
  if(HALOD_HIP_COMPILER)
    set(names ${HALOD_HIP_COMPILER})
    set(reason "there is no ${HALOD_HIP_COMPILER}, which HALOD_HIP_COMPILER names")
  else()
    set(names amdclang++ clang++-22 clang++-21 clang++-20 clang++-19 clang++-18 clang++)
    set(reason "no clang was found")
  endif()
  list(GET HALOD_HIP_TARGETS 0 gpu)
  foreach(name IN LISTS names)
    find_program(candidate NAMES ${name} HINTS ${places} NO_CACHE)
    if(NOT candidate)
      continue()
    endif()
    # Whether it can do it is asked of the thing itself: versions, targets and the linker come in separate packages.
    set(probe ${CMAKE_BINARY_DIR}/hip-probe)
    file(WRITE ${probe}.hip "#if __clang_major__ < 18\n#error clang 17 and older fail on these kernels; 18 or later compiles them\n#endif\n"
      "extern \"C\" __attribute__((global)) void probe(int* p) { *p = __builtin_amdgcn_sudot4(true, *p, true, 1, 0, false); }\n")
    execute_process(COMMAND ${candidate} ${HALOD_HIP_FLAGS} --offload-arch=${gpu} -c ${probe}.hip -o ${probe}.hsaco
      RESULT_VARIABLE failed OUTPUT_QUIET ERROR_VARIABLE errors)
    if(NOT failed)
      # Which LLVM's tools read what it makes: those beside it, or of its version. hipcc is a script that calls another.
      execute_process(COMMAND ${candidate} --version OUTPUT_VARIABLE version ERROR_QUIET)
      string(REGEX MATCH "clang version ([0-9]+)" version "${version}")
      get_filename_component(folder ${candidate} REALPATH)
      get_filename_component(folder ${folder} DIRECTORY)
      find_program(HALOD_HIP_READELF NAMES llvm-readelf-${CMAKE_MATCH_1} llvm-readelf HINTS ${folder} ${places})
      find_program(HALOD_HIP_OBJDUMP NAMES llvm-objdump-${CMAKE_MATCH_1} llvm-objdump HINTS ${folder} ${places})
      set(HALOD_HIP_CLANG ${candidate} CACHE INTERNAL "The compiler of the GPU kernels")
      set(HALOD_BUILDS_HIP TRUE PARENT_SCOPE)
      message(STATUS "GPU kernels: ${HALOD_HIP_TARGETS} by ${candidate}")
      return()
    endif()
    string(REGEX MATCH "[^\n]*error[^\n]*" reason "${errors}")
    set(reason "${candidate} cannot: ${reason}")
    unset(candidate)
  endforeach()
  set(sentence "no GPU kernels in this build: ${reason}. Debian and Ubuntu: clang-19 lld-19 llvm-19; Fedora: clang lld llvm; then configure again")
  if(HALOD_HIP STREQUAL "ON" OR HALOD_HIP_COMPILER)
    message(FATAL_ERROR "${sentence} (HALOD_HIP is ${HALOD_HIP}, HALOD_HIP_COMPILER is '${HALOD_HIP_COMPILER}').")
  endif()
  message(WARNING "${sentence} (or set HALOD_HIP=OFF to have it quiet).")
endfunction()

# halod_add_code_object(<source> <target> <result>): compiles one file for one GPU; <result> is the variable that gets the path.
function(halod_add_code_object source target result)
  get_filename_component(name ${source} NAME_WE)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.${target}.hsaco)
  add_custom_command(OUTPUT ${object}
    COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} ${HALOD_HIP_CLANG} ${HALOD_HIP_FLAGS} --offload-arch=${target} -MD -MF ${object}.d -MT ${object}
            -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${object}
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${source} DEPFILE ${object}.d
    COMMENT "GPU kernels ${source} for ${target}" VERBATIM)
  set(${result} ${object} PARENT_SCOPE)
endfunction()

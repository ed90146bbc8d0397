# cmake -DSOURCES=a;b -DSALT=… -DOUTPUT=kernel_hash.h -P KernelHash.cmake: a header with a hash of what the kernels are made of, so that tuning
# results of other kernels are not taken for these ones'.
set(text "${SALT}")
foreach(source IN LISTS SOURCES)
  file(SHA256 "${source}" hash)
  string(APPEND text "${hash}\n")
endforeach()
string(SHA256 hash "${text}")
string(SUBSTRING "${hash}" 0 16 hash)
file(CONFIGURE OUTPUT "${OUTPUT}" @ONLY CONTENT
"// Written by cmake/KernelHash.cmake.
#pragma once

namespace halod {
inline constexpr const char* kKernelHash = \"@hash@\";
}  // namespace halod
")

# cmake -DSOURCES=a;b -DSALT=… -DOUTPUT=kernel_hash.cpp -P KernelHash.cmake: defines kernel_hash(), a hash of what the kernels are made of, so that
# tuning results of other kernels are not taken for these ones'.
set(text "${SALT}")
foreach(source IN LISTS SOURCES)
  file(SHA256 "${source}" hash)
  string(APPEND text "${hash}\n")
endforeach()
string(SHA256 hash "${text}")
string(SUBSTRING "${hash}" 0 16 hash)
file(CONFIGURE OUTPUT "${OUTPUT}" @ONLY CONTENT
"// Written by cmake/KernelHash.cmake.
#include \"runtime/backend/tuning/kernel_hash.h\"

namespace halod {
std::string_view kernel_hash() { return \"@hash@\"; }
}  // namespace halod
")

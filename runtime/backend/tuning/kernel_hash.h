// Which kernels this build has.
#pragma once

#include <string_view>

namespace halod {

/// Of the CPU kernels' sources and what compiled them (cmake/KernelHash.cmake writes the definition).
std::string_view kernel_hash();

}  // namespace halod

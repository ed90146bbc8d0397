// The kernels' machine code for AMD GPUs, embedded in the program.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace halod::hip {

struct CodeObject {
  std::string_view target;  ///< "gfx1151"
  std::span<const std::byte> image;
};

/// One per target that the build was configured for; none in a build without device code. Thread: any.
std::span<const CodeObject> code_objects();

}  // namespace halod::hip

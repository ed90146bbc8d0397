// The formats that the GPU has kernels for, for tests that run over them.
#pragma once

#include <string>
#include <vector>

#include "kernels/hip/weight_layout.h"

namespace halod::hip {

inline std::vector<Format> gpu_formats() {
  std::vector<Format> formats;
  for (const FormatTraits& format : all_formats()) {
    if (find_row_layout(format.format) != nullptr) formats.push_back(format.format);
  }
  return formats;
}

}  // namespace halod::hip

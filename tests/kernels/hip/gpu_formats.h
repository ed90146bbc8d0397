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

/// Those whose kernels read the 8-bit form of the activations, as prompts do.
inline std::vector<Format> quantised_gpu_formats() {
  std::vector<Format> formats = gpu_formats();
  std::erase_if(formats, [](Format format) { return !find_row_layout(format)->needs_codes; });
  return formats;
}

}  // namespace halod::hip

// gpt-oss' experts: MXFP4 blocks and their scales in two tensors (docs/formats/safetensors.md has the
// layout).
#pragma once

#include <memory>

#include "runtime/weights/hf/safetensors_files.h"
#include "runtime/weights/hf/tensor_source.h"

namespace halod {

/// [experts, rows, cols] of `blocks` U8 [experts, rows, cols / 32, 16] and `scales` U8 [experts, rows, cols /
/// 32], in the format MXFP4. `files` outlives it. Throws ErrorException: kCorruptFile when the shapes
/// contradict each other, kUnsupported for other dtypes.
std::unique_ptr<const TensorSource> make_mxfp4_source(const SafetensorsFiles& files,
                                                      const SafetensorsTensor& blocks,
                                                      const SafetensorsTensor& scales);

}  // namespace halod

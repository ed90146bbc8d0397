// compressed-tensors' pack-quantized: linear layers of 4- or 8-bit codes in groups, their rows as they are
// (docs/formats/safetensors.md has the layout).
#pragma once

#include <memory>
#include <vector>

#include "runtime/weights/hf/quantisation.h"
#include "runtime/weights/hf/safetensors_files.h"
#include "runtime/weights/hf/tensor_source.h"

namespace halod {

/// The tensors of one linear layer, out of which W[o, i] = scales[o, g] * (q[o, i] - z[o, g]), g = i / group
/// size.
struct PackedLinear {
  const SafetensorsTensor* codes = nullptr;   ///< weight_packed
  const SafetensorsTensor* scales = nullptr;  ///< weight_scale
  const SafetensorsTensor* zeros = nullptr;   ///< weight_zero_point; absent: 2^(bits - 1) is all of them
};

/// As make_quantised_source (quantised_source.h).
std::unique_ptr<const TensorSource> make_packed_source(const SafetensorsFiles& files,
                                                       const HfQuantisation& quantisation,
                                                       std::vector<PackedLinear> experts, bool is_stack);

}  // namespace halod

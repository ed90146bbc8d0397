// GPTQ and AWQ: linear layers of 4- or 8-bit codes in groups (docs/formats/safetensors.md has the layouts).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/error.h"
#include "runtime/weights/hf/quantisation.h"
#include "runtime/weights/hf/safetensors_files.h"
#include "runtime/weights/hf/tensor_source.h"

namespace halod {

/// The tensors of one linear layer, out of which W[o, i] = scales[g, o] * (q[o, i] - z[g, o]), g = i / group
/// size.
struct QuantisedLinear {
  const SafetensorsTensor* qweight = nullptr;
  const SafetensorsTensor* qzeros = nullptr;
  const SafetensorsTensor* scales = nullptr;
  const SafetensorsTensor* g_idx = nullptr;  ///< may be absent
};

/// One layer, or one per expert; rows in the INT4 or INT8 format whose blocks divide the groups. Scales of
/// BF16 become f16, which is exact from 2^-17 on. `files` outlives it. Throws ErrorException: kCorruptFile
/// when the shapes contradict each other, kUnsupported when no format has such groups. Reading finds:
/// kCorruptFile for scales that are no numbers, kUnsupported for a g_idx out of
/// order where the configuration does not say so. Where it does (HfQuantisation::may_reorder_columns), rows
/// have their columns by group, and column_order() says which they are.
std::unique_ptr<const TensorSource> make_quantised_source(const SafetensorsFiles& files,
                                                          const HfQuantisation& quantisation,
                                                          std::vector<QuantisedLinear> experts,
                                                          bool is_stack);

}  // namespace halod

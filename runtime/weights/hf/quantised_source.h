// GPTQ and AWQ: linear layers of 4- or 8-bit codes in groups (docs/formats/safetensors.md has the layouts).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "runtime/weights/hf/json_file.h"
#include "runtime/weights/hf/safetensors_files.h"
#include "runtime/weights/hf/tensor_source.h"

namespace halod {

/// config.json's quantization_config.
struct HfQuantisation {
  enum class Method { kGptq, kAwq };
  Method method = Method::kGptq;
  int bits = 4;
  int64_t group_size = 128;            ///< input features that share a scale; -1: all of a row
  bool stores_zeros_less_one = false;  ///< GPTQ's first version
};

/// Throws ErrorException: kUnsupported naming the key for methods, widths and orders that halod does not
/// read.
HfQuantisation read_quantisation(const JsonObject& config);

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
/// kCorruptFile for scales that are no numbers, kUnsupported for a g_idx out of order.
std::unique_ptr<const TensorSource> make_quantised_source(const SafetensorsFiles& files,
                                                          const HfQuantisation& quantisation,
                                                          std::vector<QuantisedLinear> experts,
                                                          bool is_stack);

}  // namespace halod

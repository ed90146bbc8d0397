// Linear layers of 8-bit floats with scales (docs/formats/safetensors.md), expanded to BF16.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "runtime/weights/hf/quantisation.h"
#include "runtime/weights/hf/safetensors_files.h"
#include "runtime/weights/hf/tensor_source.h"

namespace halod {

inline constexpr std::string_view kFp8Dtype = "F8_E4M3";

/// W[o, i] = codes[o, i] * scales[o / block rows, i / block cols].
struct Fp8Linear {
  const SafetensorsTensor* codes = nullptr;   ///< weight
  const SafetensorsTensor* scales = nullptr;  ///< weight_scale_inv, or compressed-tensors' weight_scale
};

/// The value of an 8-bit float of one sign bit, four of the exponent and three of the fraction, without
/// infinities: 0x7f and 0xff are NaN (Micikevicius et al. 2022, "FP8 formats for deep learning").
float e4m3_to_f32(uint8_t code);

/// As make_quantised_source (quantised_source.h), rows in BF16: each product is rounded once, to nearest.
/// Scales may be one for all, one for each row, or one for each of the quantisation's blocks, of which the
/// last ones may be cut short. Reading finds: kCorruptFile for values that are no numbers.
std::unique_ptr<const TensorSource> make_fp8_source(const SafetensorsFiles& files,
                                                    const HfQuantisation& quantisation,
                                                    std::vector<Fp8Linear> experts, bool is_stack);

}  // namespace halod

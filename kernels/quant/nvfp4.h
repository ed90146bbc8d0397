// NVFP4: 64 weights in 36 bytes, w = s[i / 16] * v[q], 4-bit floats (E2M1) in runs of 16 that have a scale
// each, an 8-bit float without a sign (E4M3).
//
//   byte 0           4                                                   36
//        s[0]…s[3]   q[0]|q[8]<<4 … q[7]|q[15]<<4, the same of the other runs
//   v as in kernels/quant/mxfp4.h, whose table of 2 v serves here too, with half of the scale.
//   s = 2^(e - 7) * (1 + m / 8), e in bits 3 … 6 and m in bits 0 … 2; of e = 0, 2^-6 * m / 8.
//
// Checkpoints with a scale for each tensor besides have it in a tensor of its own; such files are refused by
// its name.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "kernels/quant/formats.h"

namespace halod {

struct BlockNvfp4 {
  static constexpr int64_t kElements = 64;
  uint8_t scales[4];  ///< of weights 16 i … 16 i + 15
  uint8_t qs[32];  ///< byte 8 i + j: weight 16 i + j in the low nibble, weight 16 i + j + 8 in the high one
};
static_assert(sizeof(BlockNvfp4) == 36);

/// Half of the scale. As ggml: 0x7f, E4M3's NaN, is 0, and of the others bit 7 does not count.
inline float nvfp4_half_scale(uint8_t scale) {
  constexpr uint32_t kBias = 127 - 7 - 1;
  const uint32_t code = scale & 0x7fU;
  if (scale == 0x7f) return 0.0f;
  if (code < 8) return static_cast<float>(code) * 0x1p-10f;
  return std::bit_cast<float>((code << 20) + (kBias << 23));
}

/// FormatTraits::expand.
void expand_nvfp4(const std::byte* block, const CodeSink& out);

/// n is a multiple of 64. Blocks need no alignment. Thread: any. Source: ggml's dequantize_row_nvfp4.
void dequantize_nvfp4(const std::byte* blocks, int64_t n, float* out);
/// The scale nearest to a sixth of the largest weight of a run, then the nearest value of each weight.
void quantize_nvfp4(const float* values, int64_t n, std::byte* blocks);

}  // namespace halod

// Q4_K: 256 weights in 144 bytes, w = d * scale[j] * q - dmin * min[j] for the sub-block j = i / 32 of weight
// i.
//
//   byte 0   2      4            16                        144
//        d   dmin   scales (12)  qs: four runs of 32 bytes; in run r the low nibbles are weights 64 r … 64 r
//        + 31,
//                                the high nibbles weights 64 r + 32 … 64 r + 63
#pragma once

#include <cstddef>
#include <cstdint>

namespace halod {

struct BlockQ4_K {
  static constexpr int64_t kElements = 256;
  uint16_t d;          ///< f16 scale of the scales
  uint16_t dmin;       ///< f16 scale of the minima
  uint8_t scales[12];  ///< k_scales.h
  uint8_t qs[128];
};
static_assert(sizeof(BlockQ4_K) == 144);

/// n is a multiple of 256. Blocks need no alignment. Thread: any. Source: ggml's dequantize_row_q4_K
/// (bit-exact, tested).
void dequantize_q4_k(const std::byte* blocks, int64_t n, float* out);
/// See fit_k_block.
void quantize_q4_k(const float* values, int64_t n, std::byte* blocks);

}  // namespace halod

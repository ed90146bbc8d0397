// Q2_K: 256 weights in 84 bytes, w = d * scale[j] * q - dmin * min[j] for the run j = i / 16 of weight i,
// q = 0 … 3.
//
//   byte 0             16        80  82     84
//        scales (16)   qs (64)   d   dmin
//   scales[j]: the 4-bit scale in the low nibble, the 4-bit minimum in the high one.
//   Two halves of 128 weights: weight 128 h + 32 r + l is in bits 2 r and 2 r + 1 of qs[32 h + l].
#pragma once

#include <cstddef>
#include <cstdint>

namespace halod {

struct BlockQ2_K {
  static constexpr int64_t kElements = 256;
  uint8_t scales[16];
  uint8_t qs[64];
  uint16_t d;     ///< f16 scale of the scales
  uint16_t dmin;  ///< f16 scale of the minima
};
static_assert(sizeof(BlockQ2_K) == 84);

/// n is a multiple of 256. Blocks need no alignment. Thread: any. Source: ggml's dequantize_row_q2_K
/// (bit-exact, tested).
void dequantize_q2_k(const std::byte* blocks, int64_t n, float* out);
/// See fit_sub_block in k_scales.h; scales and minima are then rounded to 4 bits.
void quantize_q2_k(const float* values, int64_t n, std::byte* blocks);

}  // namespace halod

// Q5_K: 256 weights in 176 bytes, w = d * scale[j] * q - dmin * min[j] for the sub-block j = i / 32 of weight
// i, q = 0 … 31.
//
//   byte 0   2      4            16        48                        176
//        d   dmin   scales (12)  qh (32)   qs (128): low four bits, in Q4_K's order
//   qh[i] holds the fifth bits of weights i, 32 + i, … 224 + i in bits 0 … 7.
#pragma once

#include <cstddef>
#include <cstdint>

namespace halod {

struct BlockQ5_K {
  static constexpr int64_t kElements = 256;
  uint16_t d;          ///< f16 scale of the scales
  uint16_t dmin;       ///< f16 scale of the minima
  uint8_t scales[12];  ///< k_scales.h
  uint8_t qh[32];
  uint8_t qs[128];
};
static_assert(sizeof(BlockQ5_K) == 176);

/// n is a multiple of 256. Blocks need no alignment. Thread: any. Source: ggml's dequantize_row_q5_K
/// (bit-exact, tested).
void dequantize_q5_k(const std::byte* blocks, int64_t n, float* out);
/// See fit_k_block.
void quantize_q5_k(const float* values, int64_t n, std::byte* blocks);

}  // namespace halod

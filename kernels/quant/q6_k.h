// Q6_K: 256 weights in 210 bytes, w = d * scale[i / 16] * (q - 32), q = 0 … 63.
//
//   byte 0          128       192           208  210
//        ql (128)   qh (64)   scales (16)   d
//   Two halves of 128 weights; within half h, for l = 0 … 31, weight 32 r + l has
//     its low four bits in ql[64 h + 32 (r % 2) + l], low nibble for r < 2, high nibble for r >= 2,
//     its high two bits in qh[32 h + l], bits 2 r and 2 r + 1.
#pragma once

#include <cstddef>
#include <cstdint>

namespace halod {

struct BlockQ6_K {
  static constexpr int64_t kElements = 256;
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  uint16_t d;  ///< f16 scale of the scales
};
static_assert(sizeof(BlockQ6_K) == 210);

/// n is a multiple of 256. Blocks need no alignment. Thread: any. Source: ggml's dequantize_row_q6_K
/// (bit-exact, tested).
void dequantize_q6_k(const std::byte* blocks, int64_t n, float* out);
/// Each run of 16 maps its weight of greatest magnitude to q = 0, the end of the range that has one more
/// step.
void quantize_q6_k(const float* values, int64_t n, std::byte* blocks);

}  // namespace halod

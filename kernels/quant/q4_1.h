// Q4_1: 32 weights in 20 bytes, w = d * q + m.
//
//   byte 0   2   4                      20
//        d   m   q[0]|q[16]<<4 … q[15]|q[31]<<4
#pragma once

#include <cstddef>
#include <cstdint>

namespace halod {

struct BlockQ4_1 {
  static constexpr int64_t kElements = 32;
  uint16_t d;      ///< f16 scale
  uint16_t m;      ///< f16 minimum, added
  uint8_t qs[16];  ///< byte j: weight j in the low nibble, weight j + 16 in the high one
};
static_assert(sizeof(BlockQ4_1) == 20);

/// n is a multiple of 32. Blocks need no alignment. Thread: any. Source: ggml's dequantize_row_q4_1
/// (bit-exact, tested).
void dequantize_q4_1(const std::byte* blocks, int64_t n, float* out);
/// Maps the smallest weight to 0 and the largest to 15.
void quantize_q4_1(const float* values, int64_t n, std::byte* blocks);

}  // namespace halod

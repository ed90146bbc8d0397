// Q4_0: 32 weights in 18 bytes, w = d * (q - 8).
//
//   byte 0   2                      18
//        d   q[0]|q[16]<<4 … q[15]|q[31]<<4
#pragma once

#include <cstddef>
#include <cstdint>

namespace halod {

struct BlockQ4_0 {
  static constexpr int64_t kElements = 32;
  uint16_t d;      ///< f16 scale
  uint8_t qs[16];  ///< byte j: weight j in the low nibble, weight j + 16 in the high one
};
static_assert(sizeof(BlockQ4_0) == 18);

/// n is a multiple of 32. Blocks need no alignment. Thread: any. Source: ggml's dequantize_row_q4_0
/// (bit-exact, tested).
void dequantize_q4_0(const std::byte* blocks, int64_t n, float* out);
/// Maps the weight of greatest magnitude to q = 0, the end of the range that has one more step.
void quantize_q4_0(const float* values, int64_t n, std::byte* blocks);

}  // namespace halod

// Q8_0: 32 weights in 34 bytes, w = d * q.
//
//   byte 0   2              34
//        d   q[0] … q[31]
#pragma once

#include <cstddef>
#include <cstdint>

namespace halod {

struct BlockQ8_0 {
  static constexpr int64_t kElements = 32;
  uint16_t d;     ///< f16 scale
  int8_t qs[32];  ///< -127 … 127 as encoded; -128 decodes too
};
static_assert(sizeof(BlockQ8_0) == 34);

/// n is a multiple of 32. Blocks need no alignment. Thread: any. Source: ggml's dequantize_row_q8_0
/// (bit-exact, tested).
void dequantize_q8_0(const std::byte* blocks, int64_t n, float* out);
/// d = max|w| / 127.
void quantize_q8_0(const float* values, int64_t n, std::byte* blocks);

}  // namespace halod

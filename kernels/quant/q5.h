// Q5_0: 32 weights in 22 bytes, w = d * (q - 16). Q5_1: 32 weights in 24 bytes, w = d * q + m. q = 0 … 31.
//
//   Q5_0  byte 0   2    6                      22
//              d   qh   q[0]|q[16]<<4 … q[15]|q[31]<<4   (the low four bits of each)
//   Q5_1  byte 0   2   4    8                      24
//              d   m   qh   as above
//   Bit j of qh (32 bits, little-endian) is the fifth bit of weight j.
#pragma once

#include <cstddef>
#include <cstdint>

namespace halod {

struct BlockQ5_0 {
  static constexpr int64_t kElements = 32;
  uint16_t d;     ///< f16 scale
  uint8_t qh[4];  ///< fifth bits
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_0) == 22);

struct BlockQ5_1 {
  static constexpr int64_t kElements = 32;
  uint16_t d;     ///< f16 scale
  uint16_t m;     ///< f16 minimum, added
  uint8_t qh[4];  ///< fifth bits
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_1) == 24);

/// n is a multiple of 32. Blocks need no alignment. Thread: any. Source: ggml's dequantize_row_q5_0 and _q5_1
/// (bit-exact, tested).
void dequantize_q5_0(const std::byte* blocks, int64_t n, float* out);
void dequantize_q5_1(const std::byte* blocks, int64_t n, float* out);
/// Maps the weight of greatest magnitude to q = 0, the end of the range that has one more step.
void quantize_q5_0(const float* values, int64_t n, std::byte* blocks);
/// Maps the smallest weight to 0 and the largest to 31.
void quantize_q5_1(const float* values, int64_t n, std::byte* blocks);

}  // namespace halod

// MXFP4: 32 weights in 17 bytes, w = 2^(e - 127) * v[q], the 4-bit floats of the OCP Microscaling Formats 1.0
// specification (E2M1 elements, one E8M0 scale).
//
//   byte 0   1                      17
//        e   q[0]|q[16]<<4 … q[15]|q[31]<<4
//   v = 0, 0.5, 1, 1.5, 2, 3, 4, 6 and, from q = 8, the same negative. The code keeps 2 v, integers, and half
//   of the scale.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace halod {

struct BlockMxfp4 {
  static constexpr int64_t kElements = 32;
  uint8_t e;       ///< biased exponent of the scale
  uint8_t qs[16];  ///< byte j: weight j in the low nibble, weight j + 16 in the high one
};
static_assert(sizeof(BlockMxfp4) == 17);

/// Twice the value of each code.
inline constexpr int8_t kMxfp4DoubledValues[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// 2^(e - 128), half of the scale, for e = 0 … 255; 0 and 1 are subnormal. As ggml: 255, the specification's
/// NaN, is a number too.
inline float mxfp4_half_scale(uint8_t e) {
  const uint32_t bits = e < 2 ? 0x00200000u << e : (static_cast<uint32_t>(e) - 1) << 23;
  return std::bit_cast<float>(bits);
}

/// n is a multiple of 32. Blocks need no alignment. Thread: any. Source: ggml's dequantize_row_mxfp4
/// (bit-exact, tested).
void dequantize_mxfp4(const std::byte* blocks, int64_t n, float* out);
/// The specification's scale, 2^(floor(log2(max|w|)) - 2), then the nearest value of each weight.
void quantize_mxfp4(const float* values, int64_t n, std::byte* blocks);

}  // namespace halod

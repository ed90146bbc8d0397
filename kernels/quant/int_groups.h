// INT4 and INT8 in groups of 32, 64 or 128 weights, w = scale * (code - zero): what GPTQ and AWQ make. The
// order of the bytes is halod's own, because their files keep the columns of a matrix together and halod its
// rows (runtime/weights/hf/quantised_source.h); the numbers are the file's.
//
//   byte 0      2     3
//        scale  zero  codes: for each 32 weights q
//                       INT4: 16 bytes, q[0]|q[16]<<4 … q[15]|q[31]<<4
//                       INT8: 32 bytes
#pragma once

#include <cstddef>
#include <cstdint>

namespace halod {

template <int bits, int64_t n>
struct BlockInt {
  static constexpr int64_t kElements = n;
  uint8_t scale[2];  ///< f16; bytes, because blocks have an odd size
  uint8_t zero;      ///< the code that means 0
  uint8_t codes[n * bits / 8];
};
static_assert(sizeof(BlockInt<4, 128>) == 67 && sizeof(BlockInt<8, 32>) == 35);

/// n is a multiple of the block's. Blocks need no alignment. code - zero is exact, so that a weight is
/// rounded once. Thread: any. Source: the kits' definition (docs/formats/safetensors.md).
template <int bits, int64_t group>
void dequantize_int(const std::byte* blocks, int64_t n, float* out);
/// Spreads the codes over the group's weights and 0.
template <int bits, int64_t group>
void quantize_int(const float* values, int64_t n, std::byte* blocks);

}  // namespace halod

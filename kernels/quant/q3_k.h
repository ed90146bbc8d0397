// Q3_K: 256 weights in 110 bytes, w = d * (scale[j] - 32) * (q - 4) for the run j = i / 16 of weight i,
// q = 0 … 7.
//
//   byte 0            32        96            108  110
//        hmask (32)   qs (64)   scales (12)   d
//   Weight 128 h + 32 r + l has its low two bits in bits 2 r and 2 r + 1 of qs[32 h + l], its third bit in
//   bit 4 h + r of hmask[l]. Sixteen 6-bit scales: the low four bits of scale[j] in nibble j / 8 of scales[j
//   % 8], the high two in bits 2 (j / 4) and 2 (j / 4) + 1 of scales[8 + j % 4].
#pragma once

#include <cstddef>
#include <cstdint>

namespace halod {

struct BlockQ3_K {
  static constexpr int64_t kElements = 256;
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  uint16_t d;  ///< f16 scale of the scales
};
static_assert(sizeof(BlockQ3_K) == 110);

/// Scale j = 0 … 15 of the 12 packed bytes: 0 … 63, 32 means zero.
inline uint32_t q3_k_scale(const uint8_t packed[12], int j) {
  const uint32_t low = (static_cast<uint32_t>(packed[j % 8]) >> (j / 8 * 4)) & 15U;
  return low | ((static_cast<uint32_t>(packed[8 + j % 4]) >> (j / 4 * 2)) & 3U) << 4;
}
/// ORs scale j into bytes that were zero.
inline void set_q3_k_scale(uint8_t packed[12], int j, uint32_t scale) {
  packed[j % 8] = static_cast<uint8_t>(packed[j % 8] | (scale & 15U) << (j / 8 * 4));
  packed[8 + j % 4] = static_cast<uint8_t>(packed[8 + j % 4] | (scale >> 4) << (j / 4 * 2));
}

/// n is a multiple of 256. Blocks need no alignment. Thread: any. Source: ggml's dequantize_row_q3_K
/// (bit-exact, tested).
void dequantize_q3_k(const std::byte* blocks, int64_t n, float* out);
/// Each run of 16 maps its weight of greatest magnitude to q = 0, the end of the range that has one more
/// step.
void quantize_q3_k(const float* values, int64_t n, std::byte* blocks);

}  // namespace halod

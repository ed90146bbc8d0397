// IQ3_XXS and IQ3_S: the magnitudes of four weights at a time are an entry of a book (of 256 or 512) of
// combinations of eight magnitudes; signs are stored apart.
//
// IQ3_XXS: 256 weights in 98 bytes, w = ± d * (s + 1/2) / 2 * magnitude (4, 12, 20, 28, 36, 44, 52, 62).
//   byte 0   2              66                          98
//        d   entries (64)   signs and s (8 x 32 bits)
//   Signs and s of group g (32 weights): as in IQ2_XXS.
//
// IQ3_S: 256 weights in 110 bytes, w = ± d * (2 s + 1) * magnitude (1, 3, … 15).
//   byte 0   2         66       74           106          110
//        d   qs (64)   qh (8)   signs (32)   scales (4)
//   Quad i = 0 … 7 of group g: entry qs[8 g + i] | bit i of qh[g] << 8. Bit j of signs[k]: weight 8 k + j is
//   negative. s of group g: nibble g % 2 of scales[g / 2].
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/quant/formats.h"

namespace halod {

struct BlockIq3Xxs {
  static constexpr int64_t kElements = 256;
  uint16_t d;  ///< f16 scale
  uint8_t qs[64];
  uint8_t signs_and_s[32];
};
static_assert(sizeof(BlockIq3Xxs) == 98);

struct BlockIq3S {
  static constexpr int64_t kElements = 256;
  uint16_t d;  ///< f16 scale
  uint8_t qs[64];
  uint8_t qh[8];
  uint8_t signs[32];
  uint8_t scales[4];
};
static_assert(sizeof(BlockIq3S) == 110);

/// FormatTraits::expand.
void expand_iq3_xxs(const std::byte* block, const CodeSink& out);
void expand_iq3_s(const std::byte* block, const CodeSink& out);

/// n is a multiple of 256. Blocks need no alignment. Thread: any. Source: ggml's dequantize_row_iq3_xxs and
/// _iq3_s (bit-exact, tested).
void dequantize_iq3_xxs(const std::byte* blocks, int64_t n, float* out);
void dequantize_iq3_s(const std::byte* blocks, int64_t n, float* out);
/// Each magnitude to its nearest level, each quad to the nearest entry, for the scale that search_scale
/// finds. Where signs must be even, the smallest weight's gives way.
void quantize_iq3_xxs(const float* values, int64_t n, std::byte* blocks);
void quantize_iq3_s(const float* values, int64_t n, std::byte* blocks);

}  // namespace halod

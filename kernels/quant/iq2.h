// IQ2_XXS, IQ2_XS and IQ2_S: the magnitudes of eight weights at a time are an entry of a book (of 256, 512 or
// 1024) of combinations of 8, 25 and 43; signs are stored apart. w = ± d * (s + 1/2) / 4 * magnitude.
//
// IQ2_XXS: 256 weights in 66 bytes. Eight groups of 32 weights, 8 bytes each, after d:
//   byte 0   2                              66
//        d   {entries (4), signs and s (4)} x 8
//   Bits 7 i … 7 i + 6 of the last four bytes: signs of octet i, whose eighth weight's sign makes the number
//   of minus signs even. Bits 28 … 31: s.
//
// IQ2_XS: 256 weights in 74 bytes.
//   byte 0   2                    66           74
//        d   qs (32 x 16 bits)    scales (8)
//   qs[octet]: the entry in bits 0 … 8, seven signs as above in bits 9 … 15. s of run j (16 weights): nibble
//   j % 2 of scales[j / 2].
//
// IQ2_S: 256 weights in 82 bytes.
//   byte 0   2         34           66       74           82
//        d   qs (32)   signs (32)   qh (8)   scales (8)
//   Octet i of group g: entry qs[4 g + i] | bits 2 i and 2 i + 1 of qh[g] << 8; bit j of signs[4 g + i]:
//   minus. scales as in IQ2_XS.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/quant/formats.h"

namespace halod {

struct BlockIq2Xxs {
  static constexpr int64_t kElements = 256;
  uint16_t d;      ///< f16 scale
  uint8_t qs[64];  ///< per group four entries, then signs and s
};
static_assert(sizeof(BlockIq2Xxs) == 66);

struct BlockIq2Xs {
  static constexpr int64_t kElements = 256;
  uint16_t d;  ///< f16 scale
  uint16_t qs[32];
  uint8_t scales[8];
};
static_assert(sizeof(BlockIq2Xs) == 74);

struct BlockIq2S {
  static constexpr int64_t kElements = 256;
  uint16_t d;  ///< f16 scale
  uint8_t qs[32];
  uint8_t signs[32];
  uint8_t qh[8];
  uint8_t scales[8];
};
static_assert(sizeof(BlockIq2S) == 82);

/// FormatTraits::expand.
void expand_iq2_xxs(const std::byte* block, const CodeSink& out);
void expand_iq2_xs(const std::byte* block, const CodeSink& out);
void expand_iq2_s(const std::byte* block, const CodeSink& out);

/// n is a multiple of 256. Blocks need no alignment. Thread: any. Source: ggml's dequantize_row_iq2_xxs,
/// _iq2_xs and _iq2_s (bit-exact, tested).
void dequantize_iq2_xxs(const std::byte* blocks, int64_t n, float* out);
void dequantize_iq2_xs(const std::byte* blocks, int64_t n, float* out);
void dequantize_iq2_s(const std::byte* blocks, int64_t n, float* out);
/// Each magnitude to its nearest level, each octet to the nearest entry, for the scale that search_scale
/// finds. Where signs must be even, the smallest weight's gives way.
void quantize_iq2_xxs(const float* values, int64_t n, std::byte* blocks);
void quantize_iq2_xs(const float* values, int64_t n, std::byte* blocks);
void quantize_iq2_s(const float* values, int64_t n, std::byte* blocks);

}  // namespace halod

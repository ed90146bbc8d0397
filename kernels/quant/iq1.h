// IQ1_S and IQ1_M: eight weights at a time are an entry of a book of 2048 combinations of -1, 0 and 1, all
// moved up or down by 1/8. w = d * (2 s + 1) * (entry ± 1/8).
//
// IQ1_S: 256 weights in 50 bytes; s and the move's sign for each group of 32.
//   byte 0   2         34         50
//        d   qs (32)   qh (8 x 16 bits)
//   Octet i = 0 … 3 of group g: entry qs[4 g + i] | bits 3 i … 3 i + 2 of qh[g] << 8. Bits 12 … 14 of qh[g]:
//   s, bit 15: down.
//
// IQ1_M: 256 weights in 56 bytes; s for each run of 16, the move's sign for each octet.
//   byte 0         32        48          56
//        qs (32)   qh (16)   scales (4 x 16 bits)
//   Octet i of group g: entry qs[4 g + i] | low three bits of nibble i % 2 of qh[2 g + i / 2] << 8; the
//   nibble's highest bit: down. s of the runs 4 k … 4 k + 3: three bits each of scales[k], lowest first. d's
//   16 bits are the top nibbles of scales[0] (lowest) … scales[3].
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/quant/formats.h"

namespace halod {

struct BlockIq1S {
  static constexpr int64_t kElements = 256;
  uint16_t d;  ///< f16 scale
  uint8_t qs[32];
  uint16_t qh[8];
};
static_assert(sizeof(BlockIq1S) == 50);

struct BlockIq1M {
  static constexpr int64_t kElements = 256;
  uint8_t qs[32];
  uint8_t qh[16];
  uint16_t scales[4];
};
static_assert(sizeof(BlockIq1M) == 56);

/// FormatTraits::expand.
void expand_iq1_s(const std::byte* block, const CodeSink& out);
void expand_iq1_m(const std::byte* block, const CodeSink& out);

/// n is a multiple of 256. Blocks need no alignment. Thread: any. Source: ggml's dequantize_row_iq1_s and
/// _iq1_m (bit-exact, tested).
void dequantize_iq1_s(const std::byte* blocks, int64_t n, float* out);
void dequantize_iq1_m(const std::byte* blocks, int64_t n, float* out);
/// Each weight to its nearest level, each octet to the nearest entry, for the scale that search_scale finds
/// and the better of both moves.
void quantize_iq1_s(const float* values, int64_t n, std::byte* blocks);
void quantize_iq1_m(const float* values, int64_t n, std::byte* blocks);

}  // namespace halod

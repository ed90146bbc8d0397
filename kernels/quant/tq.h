// TQ1_0 and TQ2_0: 256 weights of one block are -d, 0 or d. For models that were trained to be ternary.
//
// TQ1_0: 54 bytes.
//   byte 0         48       52  54
//        qs (48)   qh (4)   d
//   A byte b holds five digits of base 3, first digit highest, as the fraction b / 256 rounded up: the n-th
//   digit is (b * 3^n mod 256) * 3 / 256. Weight 32 n + m is digit n of qs[m], m < 32; weight 160 + 16 n + m
//   digit n of qs[32 + m], m < 16; weight 240 + 4 n + m digit n < 4 of qh[m].
//
// TQ2_0: 66 bytes.
//   byte 0         64  66
//        qs (64)   d
//   Weight 128 h + 32 r + l is in bits 2 r and 2 r + 1 of qs[32 h + l], as in Q2_K.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/quant/formats.h"

namespace halod {

struct BlockTq1_0 {
  static constexpr int64_t kElements = 256;
  uint8_t qs[48];
  uint8_t qh[4];
  uint16_t d;  ///< f16 scale
};
static_assert(sizeof(BlockTq1_0) == 54);

struct BlockTq2_0 {
  static constexpr int64_t kElements = 256;
  uint8_t qs[64];
  uint16_t d;  ///< f16 scale
};
static_assert(sizeof(BlockTq2_0) == 66);

/// FormatTraits::expand.
void expand_tq1_0(const std::byte* block, const CodeSink& out);

/// n is a multiple of 256. Blocks need no alignment. Thread: any. Source: ggml's dequantize_row_tq1_0 and
/// _tq2_0 (bit-exact, tested).
void dequantize_tq1_0(const std::byte* blocks, int64_t n, float* out);
void dequantize_tq2_0(const std::byte* blocks, int64_t n, float* out);
/// The nearest of -d, 0 and d for the d that search_scale finds.
void quantize_tq1_0(const float* values, int64_t n, std::byte* blocks);
void quantize_tq2_0(const float* values, int64_t n, std::byte* blocks);

}  // namespace halod

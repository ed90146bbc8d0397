// How weight matrices lie in device memory: row by row, each row's parts in pieces of 16 bytes, so that a
// wave's 32 lanes read 32 neighbouring pieces by one load. Bit for bit the file's information, in another
// order.
//
// A row of n columns is one run of bytes, aligned to 16. A group is 32 consecutive columns, a block what the
// file calls so (32 or 256 columns). A quad is four neighbouring columns of a group, one in each byte of a
// word.
//
//   F32, F16, BF16              the values, padded with zeros to 16 bytes
//   Q4_0, Q4_1, IQ4_NL, MXFP4   codes | d
//   Q5_0, Q5_1                  codes | high | d
//   Q8_0                        codes (columns 0 … 15 of every group) | codes (columns 16 … 31) | d
//   Q2_K                        codes | scales | d
//   Q3_K                        codes | high | scales
//   Q6_K                        codes | high | scales | d
//   Q4_K                        codes | headers
//   Q5_K                        codes | high | headers
//   IQ4_XS, NVFP4               codes | scales
//   TQ2_0, IQ2_XXS              codes | d
//   IQ2_S, IQ3_XXS, IQ1_S       codes | high | d
//   IQ2_XS, TQ1_0               codes | scales | d
//   IQ3_S                       codes | high | scales | d
//   IQ1_M                       codes | high | scales
//   INT4                        codes | scales | zeros
//   INT8                        codes (as Q8_0's two) | scales | zeros
//
//   codes    16 bytes per group. 4-bit: word i has quad i in its low and quad i + 4 in its high nibbles.
//            Q8_0, INT8: 16 bytes, INT8 with the top bit flipped: signed codes. Q2_K, Q3_K, TQ2_0: two words
//            per group, of quads 0 … 3 and 4 … 7, each quad in two bits of its bytes, the first quad lowest.
//   high     Q5_0, Q5_1, Q5_K, Q3_K: one word per group, quad i in bit i of its bytes.
//            Q6_K: as two-bit codes.
//            IQ1, IQ2, IQ3 (their fields' names and meaning: kernels/quant/iq1.h, iq2.h, iq3.h): per group
//            codes: IQ2_XXS entries, signs and s; IQ2_XS 8 bytes of qs; IQ2_S 4 of qs, 4 of signs; IQ3 8
//            entries; IQ1 4 of qs. high: IQ2_S a byte of qh and one of scales; IQ3_XXS signs and s; IQ3_S 4
//            bytes of signs; IQ1 16 bits of qh. scales: as in the file's block; IQ3_S has qh before them.
//            TQ1_0: 48 bytes of digits per block, the block's last four are its scales.
//   headers  16 bytes per block: d (f16), dmin (f16); byte j: scale of group j, with the two low bits of
//            its min on top; then one word with the four high bits of the min of group j in nibble j.
//   scales   as in the file's block: Q2_K, Q6_K, NVFP4 a byte for each run of 16 columns; with d among
//            them IQ4_XS 8 bytes (kernels/quant/iq4.h), Q3_K 14 (kernels/quant/q3_k.h).
//            INT4, INT8: f16, one per block.
//   zeros    a byte per block of INT4 and INT8, padded to 16 bytes at the row's end. RowShape has them as d.
//   d        as in the file's block, padded with zeros to 16 bytes at the row's end: f16 d, with m or dmin
//            behind it in Q4_1, Q5_1, Q2_K; one byte e in MXFP4.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/quant/formats.h"

namespace halod::hip {

inline constexpr int kGroupColumns = 32;
inline constexpr int kPieceBytes = 16;

/// The parts of a quantised row; see the picture above.
struct RowShape {
  int block_columns;
  int code_bytes_per_group;  ///< 8 for 2-bit codes, 16 for 4-bit ones, 32 for 8-bit ones; else entries
  int high_bytes_per_group;
  int scale_bytes_per_block;  ///< headers or scales
  int d_bytes_per_block;

  constexpr int high_offset(int cols) const { return cols / kGroupColumns * code_bytes_per_group; }
  constexpr int scale_offset(int cols) const {
    return high_offset(cols) + cols / kGroupColumns * high_bytes_per_group;
  }
  constexpr int d_offset(int cols) const {
    return scale_offset(cols) + cols / block_columns * scale_bytes_per_block;
  }
  constexpr int row_bytes(int cols) const {
    return (d_offset(cols) + cols / block_columns * d_bytes_per_block + kPieceBytes - 1) / kPieceBytes *
           kPieceBytes;
  }
};

/// A function, because device code of nvcc cannot read a host's constants.
template <Format format>
constexpr RowShape row_shape() {
  switch (format) {
    case Format::kQ4_0:
      return {32, 16, 0, 0, 2};
    case Format::kQ8_0:
      return {32, 32, 0, 0, 2};
    case Format::kQ4_K:
      return {256, 16, 0, 16, 0};
    case Format::kQ5_K:
      return {256, 16, 4, 16, 0};
    case Format::kQ6_K:
      return {256, 16, 8, 16, 2};
    case Format::kQ4_1:
      return {32, 16, 0, 0, 4};
    case Format::kQ5_0:
      return {32, 16, 4, 0, 2};
    case Format::kQ5_1:
      return {32, 16, 4, 0, 4};
    case Format::kQ2_K:
      return {256, 8, 0, 16, 4};
    case Format::kQ3_K:
      return {256, 8, 4, 14, 0};
    case Format::kIQ4_NL:
      return {32, 16, 0, 0, 2};
    case Format::kIQ4_XS:
      return {256, 16, 0, 8, 0};
    case Format::kMXFP4:
      return {32, 16, 0, 0, 1};
    case Format::kNVFP4:
      return {64, 16, 0, 4, 0};
    case Format::kTQ2_0:
      return {256, 8, 0, 0, 2};
    case Format::kIQ3_XXS:
      return {256, 8, 4, 0, 2};
    case Format::kIQ3_S:
      return {256, 8, 4, 12, 2};
    case Format::kIQ2_XXS:
      return {256, 8, 0, 0, 2};
    case Format::kIQ2_XS:
      return {256, 8, 0, 8, 2};
    case Format::kIQ2_S:
      return {256, 8, 2, 0, 2};
    case Format::kIQ1_S:
      return {256, 4, 2, 0, 2};
    case Format::kIQ1_M:
      return {256, 4, 2, 8, 0};
    case Format::kTQ1_0:
      return {256, 6, 0, 4, 2};
    case Format::kInt4G32:
      return {32, 16, 0, 2, 1};
    case Format::kInt4G64:
      return {64, 16, 0, 2, 1};
    case Format::kInt4G128:
      return {128, 16, 0, 2, 1};
    case Format::kInt8G32:
      return {32, 32, 0, 2, 1};
    case Format::kInt8G64:
      return {64, 32, 0, 2, 1};
    case Format::kInt8G128:
      return {128, 32, 0, 2, 1};
    default:
      return {};
  }
}

/// A format's row in the table of device layouts.
struct RowLayout {
  Format format;
  bool needs_codes;  ///< its kernels read the 8-bit form of the activations
  int64_t (*row_bytes)(int64_t cols);
  /// One row of file blocks to its device form, padding included, and back.
  void (*pack_row)(const std::byte* blocks, int64_t cols, std::byte* row);
  void (*unpack_row)(const std::byte* row, int64_t cols, std::byte* blocks);
};

/// nullptr when no kernel reads the format. Thread: any.
const RowLayout* find_row_layout(Format format);

}  // namespace halod::hip

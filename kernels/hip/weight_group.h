// A group of 32 quantised weights: how each format's row (weight_layout.h) is unpacked to codes, one per
// byte, and how a group of activations meets them.
//
// All codes fit into signed bytes. load() takes a group from a row; dot() adds its product with a group of
// activations to a sum, by scaled() for each scale's exact integer sum, which prompts share (prompt_tile.h):
// both must round alike. value() is the weight of a column as the format's decoder gives it.
//
//   kCodeOffset   what the codes are too large by
//   kScales       the number of scales, each of 32 / kScales columns
//   kHasMin       a minimum is taken off all columns: scaled() wants the scaled sum of the activations
//   kHasRunMins   one off each 16 columns, small integers (run_min): take_mins() comes before scaled()
//   kHasZero      a code means 0: scaled() wants the sum of the activations' codes, not scaled
#pragma once

#include "kernels/hip/args.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/weight_layout.h"
#include "kernels/quant/iq4.h"
#include "kernels/quant/mxfp4.h"

namespace halod::hip {

/// One group of 32 activations in 8 bits.
struct GroupCodes {
  uint32_t quads[8];
  float scale;
  int32_t sums[2];  ///< of the first and of the second 16 codes
};

// -- unpacking

HALOD_DEVICE void load_nibbles(const unsigned char* p, uint32_t (&quads)[8]) {
  const gpu::Piece piece = gpu::load_piece(p);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    quads[i] = piece.words[i] & 0x0f0f0f0fU;
    quads[i + 4] = (piece.words[i] >> 4) & 0x0f0f0f0fU;
  }
}

/// Whole bytes of a group: the first 16 columns and the others lie in halves of the row's codes.
HALOD_DEVICE void load_bytes(const unsigned char* row, int cols, int group, uint32_t (&quads)[8]) {
  const unsigned char* codes = row + kPieceBytes * group;
  const gpu::Piece low = gpu::load_piece(codes), high = gpu::load_piece(codes + cols / 2);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    quads[i] = low.words[i];
    quads[i + 4] = high.words[i];
  }
}

/// Two bits of each byte.
HALOD_DEVICE void load_crumbs(const unsigned char* p, uint32_t (&quads)[8]) {
  uint32_t words[2];
  gpu::load_words2(p, words);
#pragma unroll
  for (int i = 0; i < 8; ++i) quads[i] = (words[i / 4] >> (2 * (i % 4))) & 0x03030303U;
}

/// One more bit of each byte, on top of low_bits.
template <int low_bits>
HALOD_DEVICE void load_high_bits(const unsigned char* p, uint32_t (&quads)[8]) {
  const uint32_t high = gpu::load_word(p);
#pragma unroll
  for (int i = 0; i < 8; ++i) quads[i] |= ((high >> i) & 0x01010101U) << low_bits;
}

HALOD_DEVICE float load_half(const unsigned char* p) {
  return gpu::half_to_float(static_cast<uint16_t>(gpu::load_half_word(p)));
}

/// The signed byte `column` of eight quads.
HALOD_DEVICE float code_at(const uint32_t (&quads)[8], int column) {
  return static_cast<float>(static_cast<int8_t>(quads[column / 4] >> (column % 4 * 8)));
}

/// 16 signed bytes, four to a word.
struct CodeBook {
  uint32_t words[4];
};
constexpr CodeBook make_code_book(const int8_t (&values)[16]) {
  CodeBook book = {};
  for (int i = 0; i < 16; ++i)
    book.words[i / 4] |= static_cast<uint32_t>(static_cast<uint8_t>(values[i])) << (i % 4 * 8);
  return book;
}
/// Nibbles become the values that they name, in registers: by their low three bits in either half of the
/// book, then by the fourth.
template <CodeBook book>
HALOD_DEVICE void look_up(uint32_t (&quads)[8]) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const uint32_t in_half = quads[i] & 0x07070707U;
    const uint32_t low = gpu::permute_bytes(book.words[1], book.words[0], in_half);
    const uint32_t high = gpu::permute_bytes(book.words[3], book.words[2], in_half);
    quads[i] = gpu::permute_bytes(high, low, ((quads[i] >> 1) & 0x04040404U) | 0x03020100U);
  }
}

// -- how groups are scaled

template <int code_offset>
struct OneScale {
  static constexpr int kCodeOffset = code_offset, kScales = 1;
  static constexpr bool kHasMin = false, kHasRunMins = false, kHasZero = false;
  uint32_t quads[8];
  float scale;

  HALOD_DEVICE float dot(const GroupCodes& x, float sum) const {
    int dot = -kCodeOffset * (x.sums[0] + x.sums[1]);
#pragma unroll
    for (int i = 0; i < 8; ++i) dot = gpu::dot4_ss(quads[i], x.quads[i], dot);
    return scaled(0, dot, x.scale, 0.0F, sum);
  }
  HALOD_DEVICE float scaled(int, int dot, float x_scale, float, float sum) const {
    return gpu::fma(static_cast<float>(dot), scale * x_scale, sum);
  }
  HALOD_DEVICE float value(int column) const {
    return scale * (code_at(quads, column) - static_cast<float>(kCodeOffset));
  }
};

template <int code_offset>
struct TwoScales {
  static constexpr int kCodeOffset = code_offset, kScales = 2;
  static constexpr bool kHasMin = false, kHasRunMins = false, kHasZero = false;
  uint32_t quads[8];
  float scales[2];

  HALOD_DEVICE float dot(const GroupCodes& x, float sum) const {
#pragma unroll
    for (int half = 0; half < kScales; ++half) {
      int dot = -kCodeOffset * x.sums[half];
#pragma unroll
      for (int i = 0; i < 4; ++i) dot = gpu::dot4_ss(quads[4 * half + i], x.quads[4 * half + i], dot);
      sum = scaled(half, dot, x.scale, 0.0F, sum);
    }
    return sum;
  }
  HALOD_DEVICE float scaled(int half, int dot, float x_scale, float, float sum) const {
    return gpu::fma(static_cast<float>(dot), scales[half] * x_scale, sum);
  }
  HALOD_DEVICE float value(int column) const {
    return scales[column / 16] * (code_at(quads, column) - static_cast<float>(kCodeOffset));
  }
};

struct ScaleAndMin {
  static constexpr int kCodeOffset = 0, kScales = 1;
  static constexpr bool kHasMin = true, kHasRunMins = false, kHasZero = false;
  uint32_t quads[8];
  float scale, min;

  HALOD_DEVICE float dot(const GroupCodes& x, float sum) const {
    int dot = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) dot = gpu::dot4_ss(quads[i], x.quads[i], dot);
    return scaled(0, dot, x.scale, x.scale * static_cast<float>(x.sums[0] + x.sums[1]), sum);
  }
  HALOD_DEVICE float scaled(int, int dot, float x_scale, float x_scaled_sum, float sum) const {
    sum = gpu::fma(static_cast<float>(dot), scale * x_scale, sum);
    return gpu::fma(-min, x_scaled_sum, sum);
  }
  HALOD_DEVICE float value(int column) const { return scale * code_at(quads, column) - min; }

 protected:
  /// Of Q4_K and Q5_K.
  HALOD_DEVICE void load_header(const unsigned char* headers, int group) {
    const gpu::Piece header = gpu::load_piece(headers + kPieceBytes * (group / 8));
    const int j = group % 8;
    const uint32_t byte = (j < 4 ? header.words[1] : header.words[2]) >> (j % 4 * 8);
    const uint32_t high_min = (header.words[3] >> (4 * j)) & 15U;
    scale = gpu::half_to_float(static_cast<uint16_t>(header.words[0])) * static_cast<float>(byte & 63U);
    min = gpu::half_to_float(static_cast<uint16_t>(header.words[0] >> 16)) *
          static_cast<float>(((byte >> 6) & 3U) | high_min << 2);
  }
  /// Of Q4_1 and Q5_1, whose m is added.
  HALOD_DEVICE void load_d_and_m(const unsigned char* p) {
    const uint32_t both = gpu::load_word(p);
    scale = gpu::half_to_float(static_cast<uint16_t>(both));
    min = -gpu::half_to_float(static_cast<uint16_t>(both >> 16));
  }
};

// -- formats

template <Format format>
struct WeightGroup;

template <>
struct WeightGroup<Format::kQ4_0> : OneScale<8> {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    load_nibbles(row + kPieceBytes * group, quads);
    scale = load_half(row + row_shape<Format::kQ4_0>().d_offset(cols) + 2 * group);
  }
};

template <>
struct WeightGroup<Format::kQ8_0> : OneScale<0> {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    load_bytes(row, cols, group, quads);
    scale = load_half(row + row_shape<Format::kQ8_0>().d_offset(cols) + 2 * group);
  }
};

template <>
struct WeightGroup<Format::kQ5_0> : OneScale<16> {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    constexpr RowShape kShape = row_shape<Format::kQ5_0>();
    load_nibbles(row + kPieceBytes * group, quads);
    load_high_bits<4>(row + kShape.high_offset(cols) + 4 * group, quads);
    scale = load_half(row + kShape.d_offset(cols) + 2 * group);
  }
};

template <>
struct WeightGroup<Format::kIQ4_NL> : OneScale<0> {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    load_nibbles(row + kPieceBytes * group, quads);
    look_up<make_code_book(kIq4Values)>(quads);
    scale = load_half(row + row_shape<Format::kIQ4_NL>().d_offset(cols) + 2 * group);
  }
};

template <>
struct WeightGroup<Format::kIQ4_XS> : OneScale<0> {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    load_nibbles(row + kPieceBytes * group, quads);
    look_up<make_code_book(kIq4Values)>(quads);
    uint32_t header[2];  // d, 16 bits of high parts; low parts
    gpu::load_words2(row + row_shape<Format::kIQ4_XS>().scale_offset(cols) + 8 * (group / 8), header);
    const int j = group % 8;
    const uint32_t code = ((header[1] >> (4 * j)) & 15U) | ((header[0] >> (16 + 2 * j)) & 3U) << 4;
    scale = gpu::half_to_float(static_cast<uint16_t>(header[0])) *
            static_cast<float>(static_cast<int>(code) - 32);
  }
};

template <>
struct WeightGroup<Format::kMXFP4> : OneScale<0> {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    load_nibbles(row + kPieceBytes * group, quads);
    look_up<make_code_book(kMxfp4DoubledValues)>(quads);
    const uint32_t pair =
        gpu::load_half_word(row + row_shape<Format::kMXFP4>().d_offset(cols) + group / 2 * 2);
    const uint32_t e = (pair >> (group % 2 * 8)) & 255U;
    scale = gpu::as_float(e < 2 ? 0x00200000U << e : (e - 1) << 23);  // mxfp4_half_scale()
  }
};

template <>
struct WeightGroup<Format::kNVFP4> : TwoScales<0> {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    load_nibbles(row + kPieceBytes * group, quads);
    look_up<make_code_book(kMxfp4DoubledValues)>(quads);
    const uint32_t both =
        gpu::load_half_word(row + row_shape<Format::kNVFP4>().scale_offset(cols) + 2 * group);
    scales[0] = half_scale(both & 255U);
    scales[1] = half_scale(both >> 8);
  }

 private:
  /// nvfp4_half_scale().
  HALOD_DEVICE static float half_scale(uint32_t scale) {
    const uint32_t code = scale & 0x7fU;
    constexpr uint32_t kBias = 127 - 7 - 1;
    const float normal = gpu::as_float((code << 20) + (kBias << 23));
    const float half = code < 8 ? static_cast<float>(code) * 0x1p-10F : normal;
    return scale == 0x7fU ? 0.0F : half;
  }
};

template <>
struct WeightGroup<Format::kTQ2_0> : OneScale<1> {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    load_crumbs(row + 8 * group, quads);
    scale = load_half(row + row_shape<Format::kTQ2_0>().d_offset(cols) + 2 * (group / 8));
  }
};

template <>
struct WeightGroup<Format::kQ4_K> : ScaleAndMin {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    load_nibbles(row + kPieceBytes * group, quads);
    load_header(row + row_shape<Format::kQ4_K>().scale_offset(cols), group);
  }
};

template <>
struct WeightGroup<Format::kQ5_K> : ScaleAndMin {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    constexpr RowShape kShape = row_shape<Format::kQ5_K>();
    load_nibbles(row + kPieceBytes * group, quads);
    load_high_bits<4>(row + kShape.high_offset(cols) + 4 * group, quads);
    load_header(row + kShape.scale_offset(cols), group);
  }
};

template <>
struct WeightGroup<Format::kQ4_1> : ScaleAndMin {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    load_nibbles(row + kPieceBytes * group, quads);
    load_d_and_m(row + row_shape<Format::kQ4_1>().d_offset(cols) + 4 * group);
  }
};

template <>
struct WeightGroup<Format::kQ5_1> : ScaleAndMin {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    constexpr RowShape kShape = row_shape<Format::kQ5_1>();
    load_nibbles(row + kPieceBytes * group, quads);
    load_high_bits<4>(row + kShape.high_offset(cols) + 4 * group, quads);
    load_d_and_m(row + kShape.d_offset(cols) + 4 * group);
  }
};

template <>
struct WeightGroup<Format::kQ6_K> : TwoScales<32> {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    constexpr RowShape kShape = row_shape<Format::kQ6_K>();
    load_nibbles(row + kPieceBytes * group, quads);
    uint32_t high[2];
    gpu::load_words2(row + kShape.high_offset(cols) + 8 * group, high);
#pragma unroll
    for (int i = 0; i < 8; ++i) quads[i] |= ((high[i / 4] >> (2 * (i % 4))) & 0x03030303U) << 4;
    const uint32_t both = gpu::load_half_word(row + kShape.scale_offset(cols) + 2 * group);
    const float d = load_half(row + kShape.d_offset(cols) + 2 * (group / 8));
    scales[0] = d * static_cast<float>(static_cast<int8_t>(both));
    scales[1] = d * static_cast<float>(static_cast<int8_t>(both >> 8));
  }
};

template <>
struct WeightGroup<Format::kQ3_K> : TwoScales<4> {
  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    constexpr RowShape kShape = row_shape<Format::kQ3_K>();
    load_crumbs(row + 8 * group, quads);
    load_high_bits<2>(row + kShape.high_offset(cols) + 4 * group, quads);
    // Of the runs 2 j and 2 j + 1: a pair of bytes has their low parts, another their high ones.
    const int j = group % 8;
    const unsigned char* block = row + kShape.scale_offset(cols) + kShape.scale_bytes_per_block * (group / 8);
    const uint32_t low = gpu::load_half_word(block + 2 * (j % 4)) >> (j / 4 * 4);
    const uint32_t high = gpu::load_half_word(block + 8 + 2 * (j % 2)) >> (j / 2 * 2);
    const uint32_t both = (low & 0x0f0fU) | (high & 0x0303U) << 4;
    const float d = load_half(block + 12);
    scales[0] = d * static_cast<float>(static_cast<int>(both & 255U) - 32);
    scales[1] = d * static_cast<float>(static_cast<int>(both >> 8) - 32);
  }
};

/// A code is that of the file times its run's scale, 45 at most: then one sum serves both runs, and another
/// the minima.
template <>
struct WeightGroup<Format::kQ2_K> {
  static constexpr int kCodeOffset = 0, kScales = 1;
  static constexpr bool kHasMin = false, kHasRunMins = true, kHasZero = false;
  uint32_t quads[8];
  uint32_t scales_and_mins;  ///< of both runs, as in the file
  float d, dmin;

  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    constexpr RowShape kShape = row_shape<Format::kQ2_K>();
    load_crumbs(row + 8 * group, quads);
    scales_and_mins = gpu::load_half_word(row + kShape.scale_offset(cols) + 2 * group);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const uint32_t products = ((scales_and_mins >> (8 * half)) & 15U) * 0x03020100U;  // of the codes 0 … 3
#pragma unroll
      for (int i = 4 * half; i < 4 * half + 4; ++i) quads[i] = gpu::permute_bytes(0, products, quads[i]);
    }
    const uint32_t d_and_dmin = gpu::load_word(row + kShape.d_offset(cols) + 4 * (group / 8));
    d = gpu::half_to_float(static_cast<uint16_t>(d_and_dmin));
    dmin = gpu::half_to_float(static_cast<uint16_t>(d_and_dmin >> 16));
  }
  HALOD_DEVICE float dot(const GroupCodes& x, float sum) const {
    int dot = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) dot = gpu::dot4_ss(quads[i], x.quads[i], dot);
    const int mins = static_cast<int>(run_min(0)) * x.sums[0] + static_cast<int>(run_min(1)) * x.sums[1];
    return scaled(0, dot, x.scale, 0.0F, take_mins(x.scale * static_cast<float>(mins), sum));
  }
  HALOD_DEVICE uint32_t run_min(int half) const { return (scales_and_mins >> (8 * half + 4)) & 15U; }
  HALOD_DEVICE float take_mins(float x_scaled_mins, float sum) const {
    return gpu::fma(-dmin, x_scaled_mins, sum);
  }
  HALOD_DEVICE float scaled(int, int dot, float x_scale, float, float sum) const {
    return gpu::fma(static_cast<float>(dot), d * x_scale, sum);
  }
  HALOD_DEVICE float value(int column) const {
    return d * code_at(quads, column) - dmin * static_cast<float>(run_min(column / 16));
  }
};

}  // namespace halod::hip

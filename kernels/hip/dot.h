// Dot products of weight rows with rows of activations, a wave per weight row: what all matrix kernels are
// made of.
//
// Every lane takes every 32nd group of 32 columns (or piece of 16 bytes of a float row), in ascending order;
// the wave's sum at the end has one order too. So a result depends on its two rows alone, whatever the number
// of rows that go together.
//
// The arithmetic is that of the CPU's 8-bit path (kernels/cpu/matmul_tiles.cpp): exact integer sums per
// scale, then one fma each. Floor: every weight byte is read once. A group of 32 columns of Q4_K costs 18
// bytes, 16 dot4 and about 40 other vector instructions over 32 lanes: 2.2 operations per byte where the
// machine has 27 (40 CUs x 64 lanes x 2.3 GHz / 215 GB/s), so memory decides up to about ten rows of
// activations.
#pragma once

#include "kernels/hip/args.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/weight_layout.h"

namespace halod::hip {

/// One group of 32 activations in 8 bits.
struct GroupCodes {
  uint32_t quads[8];
  float scale;
  int32_t sums[2];  ///< of the first and of the second 16 codes
};

HALOD_DEVICE GroupCodes make_group_codes(const gpu::Piece& low, const gpu::Piece& high, float scale,
                                         int32_t sums) {
  GroupCodes out;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    out.quads[i] = low.words[i];
    out.quads[i + 4] = high.words[i];
  }
  out.scale = scale;
  out.sums[0] = static_cast<int16_t>(sums);
  out.sums[1] = static_cast<int16_t>(sums >> 16);
  return out;
}

HALOD_DEVICE GroupCodes load_group_codes(const ActivationRows& x, int row, int cols, int group) {
  const int8_t* codes =
      x.codes + static_cast<size_t>(row) * static_cast<size_t>(cols) + group * kGroupColumns;
  const gpu::Piece low = gpu::load_piece(codes), high = gpu::load_piece(codes + kPieceBytes);
  uint32_t words[2];
  gpu::load_words2(x.groups + static_cast<size_t>(row) * static_cast<size_t>(cols / kGroupColumns) + group,
                   words);
  return make_group_codes(low, high, gpu::as_float(words[0]), static_cast<int32_t>(words[1]));
}

template <int n_columns>
HALOD_DEVICE void load_values(const ActivationRows& x, int row, int cols, int first,
                              float (&values)[n_columns]) {
  const float* from = x.values + static_cast<size_t>(row) * static_cast<size_t>(cols) + first;
  if (first + n_columns <= cols) {
#pragma unroll
    for (int i = 0; i < n_columns; i += 4) {
      float four[4];
      gpu::load_floats4(from + i, four);
#pragma unroll
      for (int j = 0; j < 4; ++j) values[i + j] = four[j];
    }
  } else {
    // The weights' padding is zeros, but what follows x may be anything, NaN too.
#pragma unroll
    for (int i = 0; i < n_columns; ++i) values[i] = first + i < cols ? gpu::load_float(from + i) : 0.0F;
  }
}

/// One row of activations in the block's shared memory, which the loads of global memory do not reach.
struct SharedActivationRow {
  const float* values;
  const int8_t* codes;
  const ActivationGroup* groups;
};

HALOD_DEVICE GroupCodes load_group_codes(const SharedActivationRow& x, int, int, int group) {
  const auto* pieces = reinterpret_cast<const gpu::Piece*>(x.codes) + 2 * group;
  return make_group_codes(pieces[0], pieces[1], x.groups[group].scale, x.groups[group].sums);
}

template <int n_columns>
HALOD_DEVICE void load_values(const SharedActivationRow& x, int, int cols, int first,
                              float (&values)[n_columns]) {
#pragma unroll
  for (int i = 0; i < n_columns; ++i) values[i] = first + i < cols ? x.values[first + i] : 0.0F;
}

// -- quantised weights: a group's codes, one per byte, and how a group of activations meets them
//
// kCodeOffset is what the codes are too large by; kScales the number of scales, each of 32 / kScales columns;
// kHasMin whether a minimum is taken off all columns. dot() adds a group's product to a sum, by scaled() for
// each scale's exact integer sum. Prompts share scaled() (prompt_tile.h): both must round alike.

HALOD_DEVICE void load_nibbles(const unsigned char* p, uint32_t (&quads)[8]) {
  const gpu::Piece piece = gpu::load_piece(p);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    quads[i] = piece.words[i] & 0x0f0f0f0fU;
    quads[i + 4] = (piece.words[i] >> 4) & 0x0f0f0f0fU;
  }
}

template <Format format>
struct WeightGroup;

template <>
struct WeightGroup<Format::kQ4_0> {
  static constexpr int kCodeOffset = 8, kScales = 1;
  static constexpr bool kHasMin = false;
  uint32_t quads[8];
  float d;

  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    load_nibbles(row + kPieceBytes * group, quads);
    d = gpu::half_to_float(static_cast<uint16_t>(
        gpu::load_half_word(row + row_shape<Format::kQ4_0>().d_offset(cols) + 2 * group)));
  }
  HALOD_DEVICE float dot(const GroupCodes& x, float sum) const {
    int dot = -kCodeOffset * (x.sums[0] + x.sums[1]);
#pragma unroll
    for (int i = 0; i < 8; ++i) dot = gpu::dot4_us(quads[i], x.quads[i], dot);
    return scaled(0, dot, x.scale, 0.0F, sum);
  }
  HALOD_DEVICE float scaled(int, int dot, float x_scale, float, float sum) const {
    return gpu::fma(static_cast<float>(dot), d * x_scale, sum);
  }
  HALOD_DEVICE float value(int column) const {
    return d * static_cast<float>(static_cast<int>((quads[column / 4] >> (column % 4 * 8)) & 255U) - 8);
  }
};

template <>
struct WeightGroup<Format::kQ8_0> {
  static constexpr int kCodeOffset = 0, kScales = 1;
  static constexpr bool kHasMin = false;
  uint32_t quads[8];
  float d;

  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    const unsigned char* codes = row + kPieceBytes * group;
    const gpu::Piece low = gpu::load_piece(codes), high = gpu::load_piece(codes + cols / 2);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      quads[i] = low.words[i];
      quads[i + 4] = high.words[i];
    }
    d = gpu::half_to_float(static_cast<uint16_t>(
        gpu::load_half_word(row + row_shape<Format::kQ8_0>().d_offset(cols) + 2 * group)));
  }
  HALOD_DEVICE float dot(const GroupCodes& x, float sum) const {
    int dot = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) dot = gpu::dot4_ss(quads[i], x.quads[i], dot);
    return scaled(0, dot, x.scale, 0.0F, sum);
  }
  HALOD_DEVICE float scaled(int, int dot, float x_scale, float, float sum) const {
    return gpu::fma(static_cast<float>(dot), d * x_scale, sum);
  }
  HALOD_DEVICE float value(int column) const {
    return d * static_cast<float>(static_cast<int8_t>(quads[column / 4] >> (column % 4 * 8)));
  }
};

/// What Q4_K and Q5_K share: a scale and a minimum per group.
struct ScaleAndMin {
  static constexpr int kCodeOffset = 0, kScales = 1;
  static constexpr bool kHasMin = true;
  uint32_t quads[8];
  float scale, min;

  HALOD_DEVICE void load_header(const unsigned char* headers, int group) {
    const gpu::Piece header = gpu::load_piece(headers + kPieceBytes * (group / 8));
    const int j = group % 8;
    const uint32_t byte = (j < 4 ? header.words[1] : header.words[2]) >> (j % 4 * 8);
    const uint32_t high_min = (header.words[3] >> (4 * j)) & 15U;
    scale = gpu::half_to_float(static_cast<uint16_t>(header.words[0])) * static_cast<float>(byte & 63U);
    min = gpu::half_to_float(static_cast<uint16_t>(header.words[0] >> 16)) *
          static_cast<float>(((byte >> 6) & 3U) | high_min << 2);
  }
  HALOD_DEVICE float dot(const GroupCodes& x, float sum) const {
    int dot = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) dot = gpu::dot4_us(quads[i], x.quads[i], dot);
    return scaled(0, dot, x.scale, x.scale * static_cast<float>(x.sums[0] + x.sums[1]), sum);
  }
  HALOD_DEVICE float scaled(int, int dot, float x_scale, float x_scaled_sum, float sum) const {
    sum = gpu::fma(static_cast<float>(dot), scale * x_scale, sum);
    return gpu::fma(-min, x_scaled_sum, sum);
  }
  HALOD_DEVICE float value(int column) const {
    return scale * static_cast<float>((quads[column / 4] >> (column % 4 * 8)) & 255U) - min;
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
    load_nibbles(row + kPieceBytes * group, quads);
    const uint32_t high = gpu::load_word(row + row_shape<Format::kQ5_K>().high_offset(cols) + 4 * group);
#pragma unroll
    for (int i = 0; i < 8; ++i) quads[i] |= ((high >> i) & 0x01010101U) << 4;
    load_header(row + row_shape<Format::kQ5_K>().scale_offset(cols), group);
  }
};

template <>
struct WeightGroup<Format::kQ6_K> {
  static constexpr int kCodeOffset = 32, kScales = 2;
  static constexpr bool kHasMin = false;
  uint32_t quads[8];
  float scales[2];

  HALOD_DEVICE void load(const unsigned char* row, int cols, int group) {
    constexpr RowShape kShape = row_shape<Format::kQ6_K>();
    load_nibbles(row + kPieceBytes * group, quads);
    uint32_t high[2];
    gpu::load_words2(row + kShape.high_offset(cols) + 8 * group, high);
#pragma unroll
    for (int i = 0; i < 8; ++i) quads[i] |= ((high[i / 4] >> (2 * (i % 4))) & 0x03030303U) << 4;
    const uint32_t both = gpu::load_half_word(row + kShape.scale_offset(cols) + 2 * group);
    const float d = gpu::half_to_float(
        static_cast<uint16_t>(gpu::load_half_word(row + kShape.d_offset(cols) + 2 * (group / 8))));
    scales[0] = d * static_cast<float>(static_cast<int8_t>(both));
    scales[1] = d * static_cast<float>(static_cast<int8_t>(both >> 8));
  }
  HALOD_DEVICE float dot(const GroupCodes& x, float sum) const {
#pragma unroll
    for (int half = 0; half < kScales; ++half) {
      int dot = -kCodeOffset * x.sums[half];
#pragma unroll
      for (int i = 0; i < 4; ++i) dot = gpu::dot4_us(quads[4 * half + i], x.quads[4 * half + i], dot);
      sum = scaled(half, dot, x.scale, 0.0F, sum);
    }
    return sum;
  }
  HALOD_DEVICE float scaled(int half, int dot, float x_scale, float, float sum) const {
    return gpu::fma(static_cast<float>(dot), scales[half] * x_scale, sum);
  }
  HALOD_DEVICE float value(int column) const {
    return scales[column / 16] *
           static_cast<float>(static_cast<int>((quads[column / 4] >> (column % 4 * 8)) & 255U) - 32);
  }
};

// -- float weights: a piece of 16 bytes

template <Format format>
struct WeightPiece;

template <>
struct WeightPiece<Format::kF32> {
  static constexpr int kColumns = 4;
  float values[kColumns];
  HALOD_DEVICE void load(const unsigned char* row, int piece) {
    const gpu::Piece loaded = gpu::load_piece(row + kPieceBytes * piece);
#pragma unroll
    for (int i = 0; i < kColumns; ++i) values[i] = gpu::as_float(loaded.words[i]);
  }
};

template <>
struct WeightPiece<Format::kF16> {
  static constexpr int kColumns = 8;
  float values[kColumns];
  HALOD_DEVICE void load(const unsigned char* row, int piece) {
    const gpu::Piece loaded = gpu::load_piece(row + kPieceBytes * piece);
#pragma unroll
    for (int i = 0; i < kColumns; ++i)
      values[i] = gpu::half_to_float(static_cast<uint16_t>(loaded.words[i / 2] >> (i % 2 * 16)));
  }
};

template <>
struct WeightPiece<Format::kBF16> {
  static constexpr int kColumns = 8;
  float values[kColumns];
  HALOD_DEVICE void load(const unsigned char* row, int piece) {
    const gpu::Piece loaded = gpu::load_piece(row + kPieceBytes * piece);
#pragma unroll
    for (int i = 0; i < kColumns; ++i)
      values[i] = gpu::as_float(i % 2 ? loaded.words[i / 2] & 0xffff0000U : loaded.words[i / 2] << 16);
  }
};

// -- rows

/// sums[r][t] += this lane's part of weight row r times row x_rows[t] of x.
template <Format format, class Rows, int n_rows, int n_tokens>
HALOD_DEVICE void dot_quantised(const unsigned char* const (&rows)[n_rows], int cols, const Rows& x,
                                const int (&x_rows)[n_tokens], float (&sums)[n_rows][n_tokens]) {
  const int n_groups = cols / kGroupColumns;
  for (int group = gpu::lane(); group < n_groups; group += gpu::kWave) {
    WeightGroup<format> weights[n_rows];
#pragma unroll
    for (int r = 0; r < n_rows; ++r) weights[r].load(rows[r], cols, group);
#pragma unroll
    for (int t = 0; t < n_tokens; ++t) {
      const GroupCodes codes = load_group_codes(x, x_rows[t], cols, group);
#pragma unroll
      for (int r = 0; r < n_rows; ++r) sums[r][t] = weights[r].dot(codes, sums[r][t]);
    }
  }
}

template <Format format, class Rows, int n_rows, int n_tokens>
HALOD_DEVICE void dot_floats(const unsigned char* const (&rows)[n_rows], int cols, const Rows& x,
                             const int (&x_rows)[n_tokens], float (&sums)[n_rows][n_tokens]) {
  constexpr int kColumns = WeightPiece<format>::kColumns;
  const int n_pieces = (cols + kColumns - 1) / kColumns;
  for (int piece = gpu::lane(); piece < n_pieces; piece += gpu::kWave) {
    WeightPiece<format> weights[n_rows];
#pragma unroll
    for (int r = 0; r < n_rows; ++r) weights[r].load(rows[r], piece);
#pragma unroll
    for (int t = 0; t < n_tokens; ++t) {
      float values[kColumns];
      load_values(x, x_rows[t], cols, piece * kColumns, values);
#pragma unroll
      for (int r = 0; r < n_rows; ++r) {
#pragma unroll
        for (int i = 0; i < kColumns; ++i) sums[r][t] = gpu::fma(weights[r].values[i], values[i], sums[r][t]);
      }
    }
  }
}

/// The same for a format of either kind.
template <Format format, class Rows, int n_rows, int n_tokens>
HALOD_DEVICE void dot_rows_of(const unsigned char* const (&rows)[n_rows], int cols, const Rows& x,
                              const int (&x_rows)[n_tokens], float (&sums)[n_rows][n_tokens]) {
  if constexpr (format == Format::kF32 || format == Format::kF16 || format == Format::kBF16) {
    dot_floats<format>(rows, cols, x, x_rows, sums);
  } else {
    dot_quantised<format>(rows, cols, x, x_rows, sums);
  }
}

template <Format format>
struct FormatTag {
  static constexpr Format kFormat = format;
};

/// Calls work(FormatTag<format>) for the format that a matrix has. The branch is the same for all lanes: it
/// costs a few scalar instructions, and saves a kernel, and a launch, for every mixture of formats.
template <class Work>
HALOD_DEVICE void for_format(int32_t format, const Work& work) {
  switch (static_cast<Format>(format)) {
    case Format::kF32:
      return work(FormatTag<Format::kF32>());
    case Format::kF16:
      return work(FormatTag<Format::kF16>());
    case Format::kBF16:
      return work(FormatTag<Format::kBF16>());
    case Format::kQ4_0:
      return work(FormatTag<Format::kQ4_0>());
    case Format::kQ8_0:
      return work(FormatTag<Format::kQ8_0>());
    case Format::kQ4_K:
      return work(FormatTag<Format::kQ4_K>());
    case Format::kQ5_K:
      return work(FormatTag<Format::kQ5_K>());
    case Format::kQ6_K:
      return work(FormatTag<Format::kQ6_K>());
  }
}

/// The same for whichever format the matrix has.
template <class Rows, int n_rows, int n_tokens>
HALOD_DEVICE void dot_rows(const WeightRows& weights, const unsigned char* const (&rows)[n_rows],
                           const Rows& x, const int (&x_rows)[n_tokens], float (&sums)[n_rows][n_tokens]) {
  for_format(weights.format,
             [&](auto tag) { dot_rows_of<decltype(tag)::kFormat>(rows, weights.cols, x, x_rows, sums); });
}

/// Row `row` of expert `expert`; beyond the last row the last one, so that a wave's lanes stay together.
HALOD_DEVICE const unsigned char* weight_row(const WeightRows& weights, int expert, int row) {
  const int clamped = row < weights.rows ? row : weights.rows - 1;
  return weights.data + static_cast<uint64_t>(expert) * weights.expert_bytes +
         static_cast<size_t>(clamped) * static_cast<size_t>(weights.row_bytes);
}

}  // namespace halod::hip

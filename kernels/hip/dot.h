// Dot products of weight rows with rows of activations, a wave per weight row: what all matrix kernels are
// made of. How a group of weights is unpacked and met: weight_group.h, book_group.h and
// int_group.h.
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
#include "kernels/hip/book_group.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/int_group.h"
#include "kernels/hip/weight_group.h"
#include "kernels/hip/weight_layout.h"

namespace halod::hip {

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

/// Eight values of 16 bits; Value::of(word, i) is the lower or the upper one of a word.
template <class Value>
struct HalfWordPiece {
  static constexpr int kColumns = 8;
  float values[kColumns];
  HALOD_DEVICE void load(const unsigned char* row, int piece) {
    const gpu::Piece loaded = gpu::load_piece(row + kPieceBytes * piece);
#pragma unroll
    for (int i = 0; i < kColumns; ++i) values[i] = Value::of(loaded.words[i / 2], i % 2);
  }
};
struct F16Value {
  HALOD_DEVICE static float of(uint32_t word, int i) {
    return gpu::half_to_float(static_cast<uint16_t>(word >> (i * 16)));
  }
};
struct BF16Value {
  HALOD_DEVICE static float of(uint32_t word, int i) {
    return gpu::as_float(i == 1 ? word & 0xffff0000U : word << 16);
  }
};
template <>
struct WeightPiece<Format::kF16> : HalfWordPiece<F16Value> {};
template <>
struct WeightPiece<Format::kBF16> : HalfWordPiece<BF16Value> {};

// -- rows

/// sums[r][t] += this lane's part of weight row r times row x_rows[t] of x.
template <Format format, class Rows, int n_rows, int n_tokens>
HALOD_DEVICE void dot_quantised(const unsigned char* const (&rows)[n_rows], int cols, const Rows& x,
                                const int (&x_rows)[n_tokens], float (&sums)[n_rows][n_tokens]) {
  const int n_groups = cols / kGroupColumns;
  // Else what each of the formats makes of its lane is computed before the branch to one of them, and takes
  // up to a third of the registers.
  const int first = gpu::opaque(gpu::lane());
  for (int group = first; group < n_groups; group += gpu::kWave) {
    WeightGroup<format> weights[n_rows];
#pragma unroll
    for (int r = 0; r < n_rows; ++r) weights[r].load(rows[r], cols, group);
    // Else eight rows of x are loaded while look-ups are on their way, and there are not registers for both;
    // nor for four and NVFP4's two scales, where two matrices are read.
    if constexpr ((n_tokens == 8 && has_book(format)) || (n_tokens == 4 && format == Format::kNVFP4))
      gpu::schedule_barrier();
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
HALOD_DEVICE void for_quantised_format(int32_t format, const Work& work) {
  switch (static_cast<Format>(format)) {
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
    case Format::kQ4_1:
      return work(FormatTag<Format::kQ4_1>());
    case Format::kQ5_0:
      return work(FormatTag<Format::kQ5_0>());
    case Format::kQ5_1:
      return work(FormatTag<Format::kQ5_1>());
    case Format::kQ2_K:
      return work(FormatTag<Format::kQ2_K>());
    case Format::kQ3_K:
      return work(FormatTag<Format::kQ3_K>());
    case Format::kIQ4_NL:
      return work(FormatTag<Format::kIQ4_NL>());
    case Format::kIQ4_XS:
      return work(FormatTag<Format::kIQ4_XS>());
    case Format::kMXFP4:
      return work(FormatTag<Format::kMXFP4>());
    case Format::kNVFP4:
      return work(FormatTag<Format::kNVFP4>());
    case Format::kTQ2_0:
      return work(FormatTag<Format::kTQ2_0>());
    case Format::kIQ3_XXS:
      return work(FormatTag<Format::kIQ3_XXS>());
    case Format::kIQ3_S:
      return work(FormatTag<Format::kIQ3_S>());
    case Format::kIQ2_XXS:
      return work(FormatTag<Format::kIQ2_XXS>());
    case Format::kIQ2_XS:
      return work(FormatTag<Format::kIQ2_XS>());
    case Format::kIQ2_S:
      return work(FormatTag<Format::kIQ2_S>());
    case Format::kIQ1_S:
      return work(FormatTag<Format::kIQ1_S>());
    case Format::kIQ1_M:
      return work(FormatTag<Format::kIQ1_M>());
    case Format::kTQ1_0:
      return work(FormatTag<Format::kTQ1_0>());
    case Format::kInt4G32:
      return work(FormatTag<Format::kInt4G32>());
    case Format::kInt4G64:
      return work(FormatTag<Format::kInt4G64>());
    case Format::kInt4G128:
      return work(FormatTag<Format::kInt4G128>());
    case Format::kInt8G32:
      return work(FormatTag<Format::kInt8G32>());
    case Format::kInt8G64:
      return work(FormatTag<Format::kInt8G64>());
    case Format::kInt8G128:
      return work(FormatTag<Format::kInt8G128>());
    default:
      return;  // has no layout in kernels/hip/weight_layout.h, so no weight of it is ever placed
  }
}

/// The same for floats. False: the format is of the other kind.
template <class Work>
HALOD_DEVICE bool for_float_format(int32_t format, const Work& work) {
  switch (static_cast<Format>(format)) {
    case Format::kF32:
      work(FormatTag<Format::kF32>());
      return true;
    case Format::kF16:
      work(FormatTag<Format::kF16>());
      return true;
    case Format::kBF16:
      work(FormatTag<Format::kBF16>());
      return true;
    default:
      return false;
  }
}

/// The same for both kinds.
template <class Work>
HALOD_DEVICE void for_format(int32_t format, const Work& work) {
  if (!for_float_format(format, work)) for_quantised_format(format, work);
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

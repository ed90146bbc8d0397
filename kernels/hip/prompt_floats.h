// The same tile as prompt_tile.h for f16, bf16 and f32 weights, by the vector unit's fused multiply-adds.
//
// Not by the matrix unit: activations are f32, and only split into two or three halves each would they keep
// their precision there. That takes 3 (bf16 weights) to 6 products (f32 weights) in place of one, so 10 to 20
// TFLOP/s at best, in an order of summation that no decode kernel could have; these have 14.8, and decode's
// bits. A piece of 16 bytes of a weight row takes the place of a group: lane l of decode adds the pieces
// l, l + 32, ….
//
// A lane has the results that a fragment's accumulator gives it, so everything around the product is the
// same. Per piece of eight columns, 32 rows of x and 32 weight rows per wave: 256 fma of a lane, 32 loads of
// 16 bytes from shared memory (two values for 32 lanes): 128 of 256 cycles for each of a CU's two SIMDs, so
// shared memory is as busy as the vector unit. Two loads of 16 bytes of weights.
#pragma once

#include "kernels/hip/args.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/dot.h"
#include "kernels/hip/prompt_chains.h"
#include "kernels/hip/prompt_rows.h"

namespace halod::hip {

/// A step's columns of the rows of x: brought by all threads, four values each, and read by all waves.
template <int row_fragments, int step_columns>
class FloatRows {
 public:
  HALOD_DEVICE FloatRows(const ActivationRows& x, int cols, const RowGroups& groups, const RowTile& tile)
      : x_(x), cols_(cols) {
#pragma unroll
    for (int i = 0; i < kShares; ++i)
      rows_[i] = tile_row(groups, tile, share(i) / kSharesPerRow % kRows) / groups.rows_per_x;
  }

  HALOD_DEVICE void load(int step) {
#pragma unroll
    for (int i = 0; i < kShares; ++i) {
      if (has_share(i)) load_values(x_, rows_[i], cols_, step * step_columns + share_column(i), values_[i]);
    }
  }
  HALOD_DEVICE void store(int stage) const {
#pragma unroll
    for (int i = 0; i < kShares; ++i) {
      if (!has_share(i)) continue;
      gpu::Piece piece;
#pragma unroll
      for (int j = 0; j < 4; ++j) piece.words[j] = gpu::as_bits(values_[i][j]);
      *reinterpret_cast<gpu::Piece*>(row(stage, share(i) / kSharesPerRow) + share_column(i)) = piece;
    }
  }
  /// Row `index` of the tile, its step_columns values.
  HALOD_DEVICE static float* row(int stage, int index) {
    float* rows = reinterpret_cast<float*>(gpu::shared_memory()) + stage * kRows * kPitch;
    gpu::check_shared_memory(reinterpret_cast<unsigned char*>(rows + kRows * kPitch));
    return rows + index * kPitch;
  }

 private:
  static constexpr int kRows = row_fragments * kFragment;
  /// Four more than there are, so that neighbouring rows lie in different banks.
  static constexpr int kPitch = step_columns + 4;
  static constexpr int kSharesPerRow = step_columns / 4;
  static constexpr int kShares = (kRows * kSharesPerRow + kPromptThreads - 1) / kPromptThreads;
  static_assert(2 * kRows * kPitch * 4 <= 2 * prompt_stage_bytes(kRows));

  HALOD_DEVICE static int share(int i) { return i * kPromptThreads + gpu::thread(); }
  HALOD_DEVICE static bool has_share(int i) { return share(i) < kRows * kSharesPerRow; }
  HALOD_DEVICE static int share_column(int i) { return share(i) % kSharesPerRow * 4; }

  ActivationRows x_;
  int cols_;
  int rows_[kShares];
  float values_[kShares][4] = {};
};

template <Format format, int row_fragments, int weight_fragments>
class FloatTile {
 public:
  static constexpr int kColumns = WeightPiece<format>::kColumns;

  HALOD_DEVICE FloatTile(const WeightRows& weights, const unsigned char* const (&rows)[weight_fragments],
                         const ActivationRows& x, const RowGroups& groups, const RowTile& tile)
      : rows_(rows), n_pieces_((weights.cols + kColumns - 1) / kColumns), x_(x, weights.cols, groups, tile) {}

  HALOD_DEVICE int n_steps() const { return (n_pieces_ + kPromptClasses - 1) / kPromptClasses; }
  HALOD_DEVICE void load_rows(int step) { x_.load(step); }
  HALOD_DEVICE void store_rows(int stage) const { x_.store(stage); }
  struct Weights {
    WeightPiece<format> pieces[weight_fragments];
    bool is_there;
  };
  HALOD_DEVICE Weights load_weights(int step) const {
    Weights weights;
    const int piece = step * kPromptClasses + prompt_class();
    weights.is_there = piece < n_pieces_;
    if (weights.is_there) {
#pragma unroll
      for (int w = 0; w < weight_fragments; ++w) weights.pieces[w].load(rows_[w], piece);
    }
    return weights;
  }

  HALOD_DEVICE void add(const Weights& weights, int stage,
                        TileSums<row_fragments, weight_fragments>& running) const {
    if (!weights.is_there) return;
#pragma unroll
    for (int r = 0; r < row_fragments; ++r) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const float* row =
            x_.row(stage, r * kFragment + 2 * i + gpu::lane() / kFragment) + prompt_class() * kColumns;
        const auto* pieces = reinterpret_cast<const gpu::Piece*>(row);
#pragma unroll
        for (int c = 0; c < kColumns; ++c) {
          const float x = gpu::as_float(pieces[c / 4].words[c % 4]);
#pragma unroll
          for (int w = 0; w < weight_fragments; ++w)
            running[r][w].values[i] = gpu::fma(weights.pieces[w].values[c], x, running[r][w].values[i]);
        }
        // Else the loads of all rows come first, and there are not registers for them.
        if (i % 2 == 1) gpu::schedule_barrier();
      }
    }
  }

 private:
  const unsigned char* const (&rows_)[weight_fragments];
  int n_pieces_;
  FloatRows<row_fragments, kPromptClasses * kColumns> x_;
};

}  // namespace halod::hip

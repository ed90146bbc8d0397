// A tile of a prompt's quantised matrix product on the matrix unit: 8-bit codes of both sides by wmma_iu8,
// scales by the vector unit, per group of 32 columns.
//
// Bits. A result must be the same whether its row came alone through the decode kernels (dot.h) or here among
// two thousand. There, lane l of 32 adds the groups l, l + 32, l + 64 … in that order, and the lanes are then
// added in pairs: l with l ^ 16, then ^ 8, ^ 4, ^ 2, ^ 1. Here the same tree is walked depth first: the
// block's wave of class c (0 … 3) takes the chains l = c + 4 j, for j = 0 4 2 6 1 5 3 7, each begun at zero,
// and joins two neighbours as soon as both are there, so that four sums per result are alive at most; the
// last two steps (^ 2, ^ 1) are between the four waves. Integer sums are exact, the other operations are
// the weight group's own: scaled().
//
// Counted for a tile of 32 rows of x and 32 weight rows per wave, a group of 32 columns, Q4_K, as compiled:
//   operations        2 * 32 * 32 * 32 = 65,536: 8 wmma of 32 cycles on a SIMD: 256 cycles
//   vector unit       135 instructions on the results (convert, scale by scale, two fma, 8 x 4 times), 120 to
//                     load and unpack weights and to pass on rows, about 50 to keep the chains (2048
//                     columns). So 256 of 561 cycles are the matrix unit's: 46 %, 27 of 59 TFLOP/s at best.
//                     Q8_0: 52 %, Q6_K, which has two scales per group: 39 %. Q2_K has eight wmma more, for
//                     its minima.
//   weights           from global memory straight into fragments, 32 x 18 bytes: no two waves need the same
//   rows of x         through shared memory, 32 x 40 bytes per group, read by the block's two weight tiles:
//                     per wave and group 4 loads of 16 bytes a lane for codes, 8 for scales (one value for 16
//                     lanes): 12 x 4 cycles of shared memory. The two SIMDs of a CU keep it busy for 96 of
//                     561 cycles; alone it would allow 2.7 times the matrix unit's whole rate.
//   shared memory     16 kB per block (the join; the two stages take 11 kB). At 236 registers three blocks of
//                     eight waves fit a WGP, six waves a SIMD: 48 of 128 kB.
#pragma once

#include "kernels/hip/args.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/dot.h"
#include "kernels/hip/prompt_chains.h"
#include "kernels/hip/prompt_rows.h"

namespace halod::hip {

/// Codes as signed bytes.
template <int offset>
HALOD_DEVICE gpu::ByteFragment code_fragment(const uint32_t (&quads)[8], int half) {
  gpu::ByteFragment fragment;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const uint32_t quad = quads[4 * half + i];
    // Each byte becomes 128 + code - offset, without a borrow; flipping the top bit takes off the 128.
    fragment.words[i] =
        offset == 0 ? quad
                    : ((quad | 0x80808080U) - static_cast<uint32_t>(offset) * 0x01010101U) ^ 0x80808080U;
  }
  return fragment;
}

HALOD_DEVICE void load_eight(const float* from, float (&values)[8]) {
  const auto* pieces = reinterpret_cast<const gpu::Piece*>(from);
#pragma unroll
  for (int i = 0; i < 8; ++i) values[i] = gpu::as_float(pieces[i / 4].words[i % 4]);
}

/// The minimum of a run of 16 columns, for each of them.
HALOD_DEVICE gpu::ByteFragment min_fragment(uint32_t min) {
  const uint32_t four = gpu::permute_bytes(0, min, 0);
  return {{four, four, four, four}};
}

/// Rows of x are A, weight rows B: a lane then has one weight row of a fragment, whose scales it loads
/// itself.
template <Format format, int row_fragments, int weight_fragments>
class QuantisedTile {
 public:
  HALOD_DEVICE QuantisedTile(const WeightRows& weights, const unsigned char* const (&rows)[weight_fragments],
                             const ActivationRows& x, const RowGroups& groups, const RowTile& tile)
      : rows_(rows), cols_(weights.cols), x_(x, weights.cols, groups, tile) {}

  HALOD_DEVICE int n_steps() const { return (n_groups() + kPromptClasses - 1) / kPromptClasses; }
  HALOD_DEVICE void load_rows(int step) { x_.load(step); }
  HALOD_DEVICE void store_rows(int stage) const {
    x_.template store<!WeightGroup<format>::kHasZero>(PromptStage<row_fragments>(stage));
  }
  /// Not kept from one step to the next: that would take registers.
  struct Weights {
    WeightGroup<format> groups[weight_fragments];
    bool is_there;
  };
  HALOD_DEVICE Weights load_weights(int step) const {
    Weights weights;
    const int group = step * kPromptClasses + prompt_class();
    weights.is_there = group < n_groups();
    if (weights.is_there) {
#pragma unroll
      for (int w = 0; w < weight_fragments; ++w) weights.groups[w].load(rows_[w], cols_, group);
    }
    return weights;
  }

  HALOD_DEVICE void add(const Weights& weights, int stage_index,
                        TileSums<row_fragments, weight_fragments>& running) const {
    if (!weights.is_there) return;
    const PromptStage<row_fragments> stage(stage_index);
    using Group = WeightGroup<format>;
    const int c = prompt_class(), in_fragment = gpu::lane() % kFragment;
#pragma unroll
    for (int r = 0; r < row_fragments; ++r) {
      const unsigned char* codes =
          stage.codes + (r * kFragment + in_fragment) * kPromptPitch + c * kGroupColumns;
      gpu::ByteFragment x[2];
#pragma unroll
      for (int half = 0; half < 2; ++half)
        x[half] = *reinterpret_cast<const gpu::ByteFragment*>(codes + half * kPieceBytes);
      const int at = c * row_fragments * kFragment + r * kFragment + gpu::lane() / kFragment * 8;
      float scales[8], sums[8] = {};
      load_eight(stage.scales + at, scales);
      if constexpr (Group::kHasMin || Group::kHasZero) load_eight(stage.sums + at, sums);
#pragma unroll
      for (int w = 0; w < weight_fragments; ++w) {
        if constexpr (Group::kHasRunMins) {
          gpu::IntAccumulator mins = {};
#pragma unroll
          for (int half = 0; half < 2; ++half)
            mins = gpu::wmma_iu8<true, true>(x[half], min_fragment(weights.groups[w].run_min(half)), mins);
#pragma unroll
          for (int i = 0; i < 8; ++i) {
            float& sum = running[r][w].values[i];
            sum = weights.groups[w].take_mins(scales[i] * static_cast<float>(mins.values[i]), sum);
          }
          gpu::schedule_barrier();
        }
        constexpr int kHalves = 2 / Group::kScales;  // of 16 columns, per scale
#pragma unroll
        for (int part = 0; part < Group::kScales; ++part) {
          gpu::IntAccumulator dots = {};
#pragma unroll
          for (int half = part * kHalves; half < (part + 1) * kHalves; ++half) {
            dots = gpu::wmma_iu8<true, true>(
                x[half], code_fragment<Group::kCodeOffset>(weights.groups[w].quads, half), dots);
          }
#pragma unroll
          for (int i = 0; i < 8; ++i) {
            float& sum = running[r][w].values[i];
            sum = weights.groups[w].scaled(part, dots.values[i], scales[i], sums[i], sum);
          }
          // Else the next product begins before this one's results are used up: 20 registers more, and fewer
          // waves.
          gpu::schedule_barrier();
        }
      }
    }
  }

 private:
  HALOD_DEVICE int n_groups() const { return cols_ / kGroupColumns; }

  const unsigned char* const (&rows_)[weight_fragments];
  int cols_;
  RowLoader<row_fragments> x_;
};

}  // namespace halod::hip

// A tile of a prompt's quantised matrix product on the matrix unit: 8-bit codes of both sides by wmma_iu8,
// scales by the vector unit, per group of 32 columns.
//
// Bits. A result must be the same whether its row came alone through the decode kernels (dot.h) or here among
// two thousand. There, lane l of 32 adds the groups l, l + 32, l + 64 … in that order, and the lanes are then
// added in pairs: l with l ^ 16, then ^ 8, ^ 4, ^ 2, ^ 1. Here the same tree is walked depth first: the
// block's wave of class c (0 … 3) takes the chains l = c + 4 j, for j = 0 4 2 6 1 5 3 7, each begun at zero,
// and joins two neighbours as soon as both are there, so that four sums per result are alive at most; the
// last two steps (^ 2, ^ 1) are between the four waves. Integer sums are exact, the other operations are
// dot.h's own: scaled() of the weight group.
//
// Counted for a tile of 32 rows of x and 32 weight rows per wave, a group of 32 columns, Q4_K, as compiled:
//   operations        2 * 32 * 32 * 32 = 65,536: 8 wmma of 32 cycles on a SIMD: 256 cycles
//   vector unit       131 instructions on the results (convert, scale by scale, two fma, 8 x 4 times), 120 to
//                     load and unpack weights and to pass on rows, about 50 to keep the chains (2048
//                     columns). So 256 of 558 cycles are the matrix unit's: 46 %, 27 of 59 TFLOP/s at best.
//                     Q8_0: 51 %, Q6_K, which has two scales per group: 41 %. Q2_K has eight wmma
//                     more, for its minima.
//   weights           from global memory straight into fragments, 32 x 18 bytes: no two waves need the same
//   rows of x         through shared memory, 32 x 40 bytes per group, read by the block's two weight tiles:
//                     per wave and group 4 loads of 16 bytes a lane for codes, 8 for scales (one value for 16
//                     lanes): 12 x 4 cycles of shared memory. The two SIMDs of a CU keep it busy for 96 of
//                     558 cycles; alone it would allow 2.7 times the matrix unit's whole rate.
//   shared memory     16 kB per block (the join; the two stages take 11 kB). At 238 registers three blocks of
//                     eight waves fit a WGP, six waves a SIMD: 48 of 128 kB.
#pragma once

#include "kernels/hip/args.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/dot.h"
#include "kernels/hip/prompt_rows.h"

namespace halod::hip {

HALOD_DEVICE gpu::FloatAccumulator sum_of(const gpu::FloatAccumulator& a, const gpu::FloatAccumulator& b) {
  gpu::FloatAccumulator sum;
#pragma unroll
  for (int i = 0; i < 8; ++i) sum.values[i] = a.values[i] + b.values[i];
  return sum;
}

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

/// The minimum of a run of 16 columns, for each of them.
HALOD_DEVICE gpu::ByteFragment min_fragment(uint32_t min) {
  const uint32_t four = gpu::permute_bytes(0, min, 0);
  return {{four, four, four, four}};
}

template <int row_fragments, int weight_fragments>
using TileSums = gpu::FloatAccumulator[row_fragments][weight_fragments];

/// What is summed so far: the running chain, and what waits for its neighbour in the tree.
template <int row_fragments, int weight_fragments>
struct ChainSums {
  TileSums<row_fragments, weight_fragments> running = {}, ones, twos, fours;

  /// After the last group of chain `chain`. After the last chain the whole sum is in `running`.
  HALOD_DEVICE void end_chain(int chain) {
    if ((chain & 1) == 0) return set_aside(ones);
    join(ones);
    if ((chain & 2) == 0) return set_aside(twos);
    join(twos);
    if ((chain & 4) == 0) return set_aside(fours);
    join(fours);
  }

 private:
  using Sums = TileSums<row_fragments, weight_fragments>;
  HALOD_DEVICE void set_aside(Sums& level) {
#pragma unroll
    for (int r = 0; r < row_fragments; ++r) {
#pragma unroll
      for (int w = 0; w < weight_fragments; ++w) {
        level[r][w] = running[r][w];
        running[r][w] = {};
      }
    }
  }
  HALOD_DEVICE void join(const Sums& level) {
#pragma unroll
    for (int r = 0; r < row_fragments; ++r) {
#pragma unroll
      for (int w = 0; w < weight_fragments; ++w) running[r][w] = sum_of(level[r][w], running[r][w]);
    }
  }
};

HALOD_DEVICE void load_eight(const float* from, float (&values)[8]) {
  const auto* pieces = reinterpret_cast<const gpu::Piece*>(from);
#pragma unroll
  for (int i = 0; i < 8; ++i) values[i] = gpu::as_float(pieces[i / 4].words[i % 4]);
}

/// Adds one group of the tile to the running chain. Rows of x are A, weight rows B: a lane then has one
/// weight row, whose scales it loaded itself.
template <Format format, int row_fragments, int weight_fragments>
HALOD_DEVICE void add_group(const WeightGroup<format> (&weights)[weight_fragments],
                            const PromptStage<row_fragments>& stage,
                            TileSums<row_fragments, weight_fragments>& running) {
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
    float scales[8], scaled_sums[8] = {};
    load_eight(stage.scales + at, scales);
    if constexpr (Group::kHasMin) load_eight(stage.scaled_sums + at, scaled_sums);
#pragma unroll
    for (int w = 0; w < weight_fragments; ++w) {
      if constexpr (Group::kHasRunMins) {
        gpu::IntAccumulator mins = {};
#pragma unroll
        for (int half = 0; half < 2; ++half)
          mins = gpu::wmma_iu8<true, true>(x[half], min_fragment(weights[w].run_min(half)), mins);
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          running[r][w].values[i] =
              weights[w].take_mins(scales[i] * static_cast<float>(mins.values[i]), running[r][w].values[i]);
        }
      }
      gpu::IntAccumulator dots[Group::kScales] = {};
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        gpu::IntAccumulator& dot = dots[half % Group::kScales];
        dot = gpu::wmma_iu8<true, true>(x[half], code_fragment<Group::kCodeOffset>(weights[w].quads, half),
                                        dot);
      }
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        int of_result[Group::kScales];
#pragma unroll
        for (int s = 0; s < Group::kScales; ++s) of_result[s] = dots[s].values[i];
        running[r][w].values[i] =
            weights[w].scaled(of_result, scales[i], scaled_sums[i], running[r][w].values[i]);
      }
    }
  }
}

/// The wave's share of the tile: rows `tile` of x against weight rows from first_row on, every fourth group.
template <Format format, int row_fragments, int weight_fragments>
HALOD_DEVICE void multiply_tile(const WeightRows& weights, int first_row, const ActivationRows& x,
                                const RowGroups& groups, const RowTile& tile,
                                TileSums<row_fragments, weight_fragments>& sums) {
  RowLoader<row_fragments> loader(x, weights.cols, groups, tile);
  const unsigned char* rows[weight_fragments];
#pragma unroll
  for (int w = 0; w < weight_fragments; ++w)
    rows[w] = weight_row(weights, tile.expert, first_row + w * kFragment + gpu::lane() % kFragment);

  const int n_groups = weights.cols / kGroupColumns;
  const int n_steps = (n_groups + kPromptClasses - 1) / kPromptClasses;
  ChainSums<row_fragments, weight_fragments> chains;
  PromptStep at;
  loader.load(at.step);
  // Two stages in turn, so that one barrier per step is enough: a wave that is ahead writes the one that
  // nobody reads any more, because everybody has been at the barrier since.
#pragma unroll 1
  for (int i = 0; at.chain < kChains; i ^= 1) {
    const PromptStage<row_fragments> stage(i);
    const int group = at.step * kPromptClasses + prompt_class();
    const bool has_group = group < n_groups;
    WeightGroup<format> weight_groups[weight_fragments];
    if (has_group) {
#pragma unroll
      for (int w = 0; w < weight_fragments; ++w) weight_groups[w].load(rows[w], weights.cols, group);
    }
    loader.store(stage);
    const PromptStep next = at.next(n_steps);
    if (next.chain < kChains) loader.load(next.step);
    gpu::sync_shared();  // the whole step in shared memory, before any wave multiplies it
    if (has_group) add_group<format, row_fragments, weight_fragments>(weight_groups, stage, chains.running);
#pragma unroll 1
    for (; at.chain < next.chain; ++at.chain) chains.end_chain(at.chain);
    at = next;
  }
#pragma unroll
  for (int r = 0; r < row_fragments; ++r) {
#pragma unroll
    for (int w = 0; w < weight_fragments; ++w) sums[r][w] = chains.running[r][w];
  }
}

/// The four classes' shares become one, in the waves of class 0: (0 + 2) + (1 + 3). Leaves the first half of
/// the shared memory, [weight tile][...], to the caller.
template <int row_fragments, int weight_fragments>
HALOD_DEVICE void join_classes(TileSums<row_fragments, weight_fragments>& sums) {
  constexpr int kShare = row_fragments * weight_fragments * 8 * gpu::kWave;
  const int c = prompt_class();
  // A lane's value i of fragment f at [f][i][lane].
  float* mine = reinterpret_cast<float*>(gpu::shared_memory()) +
                (c % 2 * kPromptWeightTiles + prompt_weight_tile()) * kShare + gpu::lane();
  float* other = mine + (c == 0 ? kPromptWeightTiles * kShare : 0);
  const auto store = [&](float* to) {
#pragma unroll
    for (int f = 0; f < row_fragments * weight_fragments; ++f) {
#pragma unroll
      for (int i = 0; i < 8; ++i)
        to[(f * 8 + i) * gpu::kWave] = sums[f / weight_fragments][f % weight_fragments].values[i];
    }
  };
  const auto add = [&](const float* from) {
#pragma unroll
    for (int f = 0; f < row_fragments * weight_fragments; ++f) {
#pragma unroll
      for (int i = 0; i < 8; ++i)
        sums[f / weight_fragments][f % weight_fragments].values[i] += from[(f * 8 + i) * gpu::kWave];
    }
  };
  gpu::sync_shared();  // all waves have read the last stage, before shares take its place
  if (c >= 2) store(mine);
  gpu::sync_shared();  // shares of 2 and 3, before 0 and 1 add them
  if (c < 2) add(mine);
  if (c == 1) store(mine);
  gpu::sync_shared();  // share of 1 and 3, before 0 adds it
  if (c == 0) add(other);
}

/// multiply_tile() for whichever quantised format the matrix has; the host takes the decode kernels for
/// others.
template <int row_fragments, int weight_fragments>
HALOD_DEVICE void multiply_any(const WeightRows& weights, int first_row, const ActivationRows& x,
                               const RowGroups& groups, const RowTile& tile,
                               TileSums<row_fragments, weight_fragments>& sums) {
  for_quantised_format(weights.format, [&](auto tag) {
    multiply_tile<decltype(tag)::kFormat, row_fragments, weight_fragments>(weights, first_row, x, groups,
                                                                           tile, sums);
  });
}

}  // namespace halod::hip

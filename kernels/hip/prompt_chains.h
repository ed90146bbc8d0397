// The order in which a prompt's tile sums up its columns, whatever its weights are; prompt_tile.h says why.
//
// A tile (QuantisedTile, FloatTile) brings its rows of x to shared memory step by step and adds a step's
// columns to the running chain of its wave.
#pragma once

#include "kernels/hip/args.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/prompt_rows.h"

namespace halod::hip {

HALOD_DEVICE gpu::FloatAccumulator sum_of(const gpu::FloatAccumulator& a, const gpu::FloatAccumulator& b) {
  gpu::FloatAccumulator sum;
#pragma unroll
  for (int i = 0; i < 8; ++i) sum.values[i] = a.values[i] + b.values[i];
  return sum;
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

/// The wave's share of the tile: the columns of its class.
template <class Tile, int row_fragments, int weight_fragments>
HALOD_DEVICE void walk_chains(Tile& tile, TileSums<row_fragments, weight_fragments>& sums) {
  const int n_steps = tile.n_steps();
  ChainSums<row_fragments, weight_fragments> chains;
  PromptStep at;
  tile.load_rows(at.step);
  // Two stages in turn, so that one barrier per step is enough: a wave that is ahead writes the one that
  // nobody reads any more, because everybody has been at the barrier since.
#pragma unroll 1
  for (int stage = 0; at.chain < kChains; stage ^= 1) {
    const typename Tile::Weights weights = tile.load_weights(at.step);
    tile.store_rows(stage);
    const PromptStep next = at.next(n_steps);
    if (next.chain < kChains) tile.load_rows(next.step);
    gpu::sync_shared();  // the whole step in shared memory, before any wave multiplies it
    tile.add(weights, stage, chains.running);
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

}  // namespace halod::hip

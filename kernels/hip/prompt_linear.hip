// The matrix products of prompts: many rows of x against each weight, rows sorted by expert where there are
// experts.
//
// Neighbouring blocks take the weight rows of one tile of x. A prompt of 2048 tokens gives each of 128
// experts of Qwen3-30B-A3B 128 rows on average: four tiles of 32, which read the expert's 2.7 MB once from
// memory and three times from the caches (32 MB) behind it.
#include "kernels/hip/activations.h"
#include "kernels/hip/args.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/dot.h"
#include "kernels/hip/normalise.h"
#include "kernels/hip/prompt_chains.h"
#include "kernels/hip/prompt_floats.h"
#include "kernels/hip/prompt_tile.h"

namespace halod::hip {

/// The wave's share of rows `tile` of x against weight rows from first_row on. Kernels are for one kind of
/// weights: one for both would take more registers than each needs.
template <WeightKind kind, int row_fragments, int weight_fragments>
HALOD_DEVICE void multiply_tile(const WeightRows& weights, int first_row, const ActivationRows& x,
                                const RowGroups& groups, const RowTile& tile,
                                TileSums<row_fragments, weight_fragments>& sums) {
  const auto multiply = [&](auto tag) {
    constexpr Format kFormat = decltype(tag)::kFormat;
    const unsigned char* rows[weight_fragments];
#pragma unroll
    for (int w = 0; w < weight_fragments; ++w)
      rows[w] = weight_row(weights, tile.expert, first_row + w * kFragment + gpu::lane() % kFragment);
    using Tile =
        std::conditional_t<kind == WeightKind::kFloats, FloatTile<kFormat, row_fragments, weight_fragments>,
                           QuantisedTile<kFormat, row_fragments, weight_fragments>>;
    Tile product(weights, rows, x, groups, tile);
    walk_chains<Tile, row_fragments, weight_fragments>(product, sums);
  };
  if constexpr (kind == WeightKind::kFloats) {
    for_float_format(weights.format, multiply);
  } else {
    for_quantised_format(weights.format, multiply);
  }
}

template <WeightKind kind, int row_fragments, int weight_fragments>
HALOD_DEVICE void prompt_linear(const PromptLinearArgs& args) {
  constexpr int kWaveRows = weight_fragments * kFragment;
  const RowTile tile = find_row_tile(args.groups, gpu::block_y(), row_fragments * kFragment);
  if (tile.n == 0) return;
  int m = 0;
  while (m + 1 < args.n_matrices && gpu::block_x() >= args.first_tile[m + 1]) ++m;
  const WeightRows& weights = args.weights[m];
  const int first_row =
      ((gpu::block_x() - args.first_tile[m]) * kPromptWeightTiles + prompt_weight_tile()) * kWaveRows;
  TileSums<row_fragments, weight_fragments> sums;
  multiply_tile<kind, row_fragments, weight_fragments>(weights, first_row, args.x, args.groups, tile, sums);
  join_classes<row_fragments, weight_fragments>(sums);
  if (prompt_class() != 0) return;
#pragma unroll
  for (int r = 0; r < row_fragments; ++r) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int row = r * kFragment + 2 * i + gpu::lane() / kFragment;
      if (row >= tile.n) continue;
      float* y = args.y[m] +
                 static_cast<size_t>(tile_row(args.groups, tile, row)) * static_cast<size_t>(weights.rows);
#pragma unroll
      for (int w = 0; w < weight_fragments; ++w) {
        const int column = first_row + w * kFragment + gpu::lane() % kFragment;
        if (column >= weights.rows) continue;
        float sum = sums[r][w].values[i];
        if (args.bias) sum += args.bias[column];
        y[column] = args.add ? y[column] + sum : sum;
      }
    }
  }
}

HALOD_KERNEL(prompt_linear_16, PromptLinearArgs, 256) { prompt_linear<WeightKind::kQuantised, 1, 2>(args); }
HALOD_KERNEL(prompt_linear_32, PromptLinearArgs, 256) { prompt_linear<WeightKind::kQuantised, 2, 2>(args); }
HALOD_KERNEL(prompt_linear_64, PromptLinearArgs, 256) { prompt_linear<WeightKind::kQuantised, 4, 1>(args); }
HALOD_KERNEL(prompt_linear_floats, PromptLinearArgs, 256) { prompt_linear<WeightKind::kFloats, 2, 2>(args); }

/// 32 rows of both matrices: one weight tile is the gate's, the other the up-projection's. They become a
/// group of 32 columns of the next product, which is rounded to 8 bits at once. Without an up, both tiles are
/// the gate's, and each becomes a group.
template <WeightKind kind, int row_fragments>
HALOD_DEVICE void prompt_gate_up(const PromptGateUpArgs& args) {
  constexpr int kWeightFragments = kGateUpTileRows / kFragment, kRows = row_fragments * kFragment;
  const RowTile tile = find_row_tile(args.groups, gpu::block_y(), kRows);
  if (tile.n == 0) return;
  const bool is_gated = has_up(args.activation);
  const int first_row = gpu::block_x() * prompt_gate_up_columns(args.activation);
  TileSums<row_fragments, kWeightFragments> sums;
  multiply_tile<kind, row_fragments, kWeightFragments>(
      args.weights[is_gated ? prompt_weight_tile() : 0],
      first_row + (is_gated ? 0 : prompt_weight_tile() * kGateUpTileRows), args.x, args.groups, tile, sums);
  join_classes<row_fragments, kWeightFragments>(sums);
  // Where the shares of class 2 were, which are read.
  float* results = reinterpret_cast<float*>(gpu::shared_memory());  // [weight tile][kRows][32]
  if (prompt_class() == 0) {
#pragma unroll
    for (int r = 0; r < row_fragments; ++r) {
#pragma unroll
      for (int w = 0; w < kWeightFragments; ++w) {
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          const int row = r * kFragment + 2 * i + gpu::lane() / kFragment;
          results[(prompt_weight_tile() * kRows + row) * kGateUpTileRows + w * kFragment +
                  gpu::lane() % kFragment] = sums[r][w].values[i];
        }
      }
    }
  }
  gpu::sync_shared();  // both tiles' results, before a wave makes a group of a row's
  const int width = args.weights[0].rows, n_groups = is_gated ? 1 : kPromptWeightTiles;
  for (int row = gpu::wave(); row < tile.n * n_groups; row += kPromptWaves) {
    // Without an up, rows of the second tile follow those of the first.
    const int group = row >= tile.n ? 1 : 0, in_tile = row - group * tile.n;
    const int first_column = first_row + group * kGateUpTileRows, column = first_column + gpu::lane();
    if (first_column >= width) break;
    float gate = results[(group * kRows + in_tile) * kGateUpTileRows + gpu::lane()];
    float up = results[(kRows + in_tile) * kGateUpTileRows + gpu::lane()];
    add_biases(args.biases, static_cast<size_t>(tile.expert) * static_cast<size_t>(width), column, width,
               gate, up);
    const float value = activate(args.activation, gate, up);
    const ActivationResult h = result_row(args.h, tile_row(args.groups, tile, in_tile), width);
    if (column < width) h.values[column] = value;
    if (h.codes) quantise_group(value, h.codes + first_column, h.groups + first_column / kGateUpTileRows);
  }
}

HALOD_KERNEL(prompt_gate_up_16, PromptGateUpArgs, 256) { prompt_gate_up<WeightKind::kQuantised, 1>(args); }
HALOD_KERNEL(prompt_gate_up_32, PromptGateUpArgs, 256) { prompt_gate_up<WeightKind::kQuantised, 2>(args); }
HALOD_KERNEL(prompt_gate_up_floats, PromptGateUpArgs, 256) { prompt_gate_up<WeightKind::kFloats, 2>(args); }

}  // namespace halod::hip

// How rows of x come to a prompt's tiles: which rows a tile has, in which order a wave walks their columns,
// and the way to shared memory.
#pragma once

#include "kernels/hip/args.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/weight_layout.h"

namespace halod::hip {

inline constexpr int kPromptThreads = kPromptWaves * gpu::kWave;
/// Chains of lanes that a wave walks: 32 / kPromptClasses.
inline constexpr int kChains = 8;

HALOD_DEVICE int prompt_class() { return gpu::wave() % kPromptClasses; }
HALOD_DEVICE int prompt_weight_tile() { return gpu::wave() / kPromptClasses; }

/// Rows [first, first + n) of the sorted order, all of one expert.
struct RowTile {
  int expert;
  int first;
  int n;  ///< 0: there is no such tile
};

/// Every wave finds it for itself: the lanes are experts, 32 at a time.
HALOD_DEVICE RowTile find_row_tile(const RowGroups& groups, int tile, int tile_rows) {
  if (!groups.offsets) {
    const int first = tile * tile_rows, left = groups.n_rows - first;
    return {0, first, left < tile_rows ? (left > 0 ? left : 0) : tile_rows};
  }
  int n_before = 0;
  for (int first_expert = 0; first_expert < groups.n_experts; first_expert += gpu::kWave) {
    const int expert = first_expert + gpu::lane();
    const int begin = groups.offsets[expert < groups.n_experts ? expert : groups.n_experts];
    const int end = groups.offsets[expert < groups.n_experts ? expert + 1 : groups.n_experts];
    const int n_own = (end - begin + tile_rows - 1) / tile_rows;
    int n_until = n_own;  // tiles of this lane's expert and of all lanes below
#pragma unroll
    for (int distance = 1; distance < gpu::kWave; distance *= 2) {
      const int below = gpu::shfl(n_until, (gpu::lane() - distance) & (gpu::kWave - 1));
      if (gpu::lane() >= distance) n_until += below;
    }
    const uint32_t reach = gpu::ballot(tile < n_before + n_until);
    if (reach != 0) {
      const int owner = gpu::kWave - gpu::popcount(reach);  // the lowest lane of those that reach
      const int in_expert = tile - n_before - gpu::uniform(gpu::shfl(n_until - n_own, owner));
      const int first = gpu::uniform(gpu::shfl(begin, owner)) + in_expert * tile_rows;
      const int left = gpu::uniform(gpu::shfl(end, owner)) - first;
      return {first_expert + owner, first, left < tile_rows ? left : tile_rows};
    }
    n_before += gpu::uniform(gpu::shfl(n_until, gpu::kWave - 1));
  }
  return {0, 0, 0};
}

/// The sorted place's row; beyond the tile's last row the last one, whose results are dropped.
HALOD_DEVICE int tile_row(const RowGroups& groups, const RowTile& tile, int row) {
  const int place = tile.first + (row < tile.n ? row : tile.n - 1);
  if (!groups.order) return place;
  return static_cast<int>(gpu::load_word(reinterpret_cast<const unsigned char*>(groups.order + place)));
}

/// The steps of kPromptDepth columns in the order of the chains: of chain j the steps j, j + 8, ….
struct PromptStep {
  int chain = 0;  ///< how many chains are behind
  int step = 0;

  HALOD_DEVICE static int first_step(int chain) {
    return (chain & 1) * 4 + (chain & 2) + (chain & 4) / 4;  // 0 4 2 6 1 5 3 7
  }
  /// chain == kChains: there is none.
  HALOD_DEVICE PromptStep next(int n_steps) const {
    PromptStep after = {chain, step + kChains};
    while (after.chain < kChains && after.step >= n_steps) {
      ++after.chain;
      after.step = first_step(after.chain);
    }
    return after;
  }
};

/// One step of the tile's rows of x in shared memory, for all eight waves.
template <int row_fragments>
struct PromptStage {
  static constexpr int kRows = row_fragments * kFragment;
  unsigned char* codes;  ///< [kRows][kPromptPitch]
  /// [group of the step][fragment][row % 2][row / 2 % 8]: the eight values of a lane's accumulator side by
  /// side.
  float* scales;
  float* sums;  ///< of the codes, times the scale but for weights with a zero

  HALOD_DEVICE explicit PromptStage(int index) {
    codes = gpu::shared_memory() + index * prompt_stage_bytes(kRows);
    scales = reinterpret_cast<float*>(codes + shared_round(kRows * kPromptPitch));
    sums = scales + kPromptClasses * kRows;
    gpu::check_shared_memory(reinterpret_cast<unsigned char*>(sums + kPromptClasses * kRows));
  }
};

/// A thread's share in bringing rows of x to shared memory: pieces of 16 codes, and a group's scale.
template <int row_fragments>
class RowLoader {
 public:
  HALOD_DEVICE RowLoader(const ActivationRows& x, int cols, const RowGroups& groups, const RowTile& tile)
      : x_(x), n_groups_(cols / kGroupColumns) {
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      const int row = (i * kPromptThreads + gpu::thread()) / kPiecesPerRow % kRows;
      rows_[i] = tile_row(groups, tile, row) / groups.rows_per_x;
    }
    group_row_ = tile_row(groups, tile, gpu::thread() / kPromptClasses % kRows) / groups.rows_per_x;
  }

  HALOD_DEVICE void load(int step) {
    const int first_group = step * kPromptClasses;
    const size_t cols = static_cast<size_t>(n_groups_) * kGroupColumns;
    const int piece = gpu::thread() % kPiecesPerRow;
    if (first_group + piece / 2 < n_groups_) {
#pragma unroll
      for (int i = 0; i < kPieces; ++i) {
        if (has_piece(i))
          pieces_[i] = gpu::load_piece(x_.codes + static_cast<size_t>(rows_[i]) * cols +
                                       first_group * kGroupColumns + piece * kPieceBytes);
      }
    }
    const int group = first_group + gpu::thread() % kPromptClasses;
    if (has_group() && group < n_groups_)
      gpu::load_words2(x_.groups + static_cast<size_t>(group_row_) * static_cast<size_t>(n_groups_) + group,
                       group_);
  }

  /// scales_sums: of PromptStage::sums.
  template <bool scales_sums>
  HALOD_DEVICE void store(const PromptStage<row_fragments>& stage) const {
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      const int row = (i * kPromptThreads + gpu::thread()) / kPiecesPerRow;
      if (has_piece(i))
        *reinterpret_cast<gpu::Piece*>(stage.codes + row * kPromptPitch +
                                       gpu::thread() % kPiecesPerRow * kPieceBytes) = pieces_[i];
    }
    if (!has_group()) return;
    const int row = gpu::thread() / kPromptClasses, in_fragment = row % kFragment;
    const int at = gpu::thread() % kPromptClasses * kRows + row / kFragment * kFragment +
                   in_fragment % 2 * 8 + in_fragment / 2;
    const float scale = gpu::as_float(group_[0]);
    const auto sums = static_cast<int32_t>(group_[1]);
    stage.scales[at] = scale;
    const auto sum = static_cast<float>(static_cast<int16_t>(sums) + (sums >> 16));
    stage.sums[at] = scales_sums ? scale * sum : sum;
  }

 private:
  static constexpr int kRows = row_fragments * kFragment;
  static constexpr int kPiecesPerRow = kPromptDepth / kPieceBytes;
  static constexpr int kPieces = (kRows * kPiecesPerRow + kPromptThreads - 1) / kPromptThreads;
  HALOD_DEVICE static bool has_piece(int i) {
    return i * kPromptThreads + gpu::thread() < kRows * kPiecesPerRow;
  }
  HALOD_DEVICE static bool has_group() { return gpu::thread() < kRows * kPromptClasses; }

  ActivationRows x_;
  int n_groups_;
  int rows_[kPieces];
  int group_row_;
  gpu::Piece pieces_[kPieces] = {};
  uint32_t group_[2] = {};
};

}  // namespace halod::hip

// The region sizes of tile_layout.h's picture, as constants that both the packer and the kernels are
// instantiated with.
#pragma once

#include <cstdint>

#include "kernels/quant/formats.h"

namespace halod {

inline constexpr int64_t kGroupColumns =
    32;  ///< columns between two scales of x; weights have one or two scales in it
inline constexpr int kQuadsPerGroup = 8;

struct TileShape {
  int64_t block_columns;         ///< columns per file block
  int64_t code_bytes_per_group;  ///< 256 for 4-bit codes, 512 for 8-bit ones
  int64_t high_bytes_per_group;  ///< 0, 64 (one more bit) or 128 (two more)
  int64_t scale_bytes_per_block;
  int64_t d_bytes_per_block;

  constexpr int64_t groups_per_block() const { return block_columns / kGroupColumns; }
  constexpr int64_t high_offset(int64_t cols) const { return cols / kGroupColumns * code_bytes_per_group; }
  constexpr int64_t scale_offset(int64_t cols) const {
    return high_offset(cols) + cols / kGroupColumns * high_bytes_per_group;
  }
  constexpr int64_t d_offset(int64_t cols) const {
    return scale_offset(cols) + cols / block_columns * scale_bytes_per_block;
  }
};

template <Format format>
inline constexpr TileShape kTileShape{};
template <>
inline constexpr TileShape kTileShape<Format::kQ4_0>{32, 256, 0, 0, 32};
template <>
inline constexpr TileShape kTileShape<Format::kQ8_0>{32, 512, 0, 0, 32};
template <>
inline constexpr TileShape kTileShape<Format::kQ4_K>{256, 256, 0, 192, 64};
template <>
inline constexpr TileShape kTileShape<Format::kQ5_K>{256, 256, 64, 192, 64};
template <>
inline constexpr TileShape kTileShape<Format::kQ6_K>{256, 256, 128, 256, 32};

}  // namespace halod

// The region sizes of tile_layout.h's picture, as constants that both the packer and the kernels are
// instantiated with.
#pragma once

#include <cstdint>

#include "kernels/quant/formats.h"

namespace halod {

inline constexpr int64_t kGroupColumns =
    32;  ///< columns between two scales of x; weights have one or two scales in it
inline constexpr int kQuadsPerGroup = 8;

/// Where one block of 16 rows has its parts, in bytes from the tile's beginning.
struct TileBlock {
  int64_t scales, d, groups;
};

struct TileShape {
  int64_t block_columns;         ///< columns per file block
  int64_t code_bytes_per_group;  ///< 128 for 2-bit codes, 256 for 4-bit ones, 512 for 8-bit ones
  int64_t high_bytes_per_group;  ///< 0, 64 (one more bit) or 128 (two more)
  int64_t scale_bytes_per_block;
  int64_t d_bytes_per_block;
  bool has_apart_scales =
      false;  ///< all blocks' codes, then all blocks' scales: for tiles that memory never sees

  constexpr int64_t groups_per_block() const { return block_columns / kGroupColumns; }
  /// From a group's codes to the next one's; its high bits lie behind its codes.
  constexpr int64_t group_stride() const { return code_bytes_per_group + high_bytes_per_group; }
  constexpr int64_t bytes_per_block() const {
    return scale_bytes_per_block + d_bytes_per_block + groups_per_block() * group_stride();
  }
  constexpr int64_t bytes_per_group() const { return bytes_per_block() / groups_per_block(); }
  /// A block of a tile of `cols` columns.
  constexpr TileBlock block_at(int64_t block, int64_t cols) const {
    if (has_apart_scales) {
      const int64_t all_groups = cols / kGroupColumns * group_stride();
      return {all_groups + block * scale_bytes_per_block, 0, block * groups_per_block() * group_stride()};
    }
    const int64_t scales = block * bytes_per_block(), d = scales + scale_bytes_per_block;
    return {scales, d, d + d_bytes_per_block};
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
template <>
inline constexpr TileShape kTileShape<Format::kQ4_1>{32, 256, 0, 0, 64};
template <>
inline constexpr TileShape kTileShape<Format::kQ5_0>{32, 256, 64, 0, 32};
template <>
inline constexpr TileShape kTileShape<Format::kQ5_1>{32, 256, 64, 0, 64};
template <>
inline constexpr TileShape kTileShape<Format::kIQ4_NL>{32, 256, 0, 0, 32};
template <>
inline constexpr TileShape kTileShape<Format::kMXFP4>{32, 256, 0, 16, 0};
template <>
inline constexpr TileShape kTileShape<Format::kQ2_K>{256, 128, 0, 256, 64};
template <>
inline constexpr TileShape kTileShape<Format::kQ3_K>{256, 128, 64, 192, 32};
template <>
inline constexpr TileShape kTileShape<Format::kIQ4_XS>{256, 256, 0, 96, 32};
template <>
inline constexpr TileShape kTileShape<Format::kTQ2_0>{256, 128, 0, 0, 32};
template <>
inline constexpr TileShape kTileShape<Format::kInt4G32>{32, 256, 0, 16, 32};
template <>
inline constexpr TileShape kTileShape<Format::kInt4G64>{64, 256, 0, 16, 32};
template <>
inline constexpr TileShape kTileShape<Format::kInt4G128>{128, 256, 0, 16, 32};
template <>
inline constexpr TileShape kTileShape<Format::kInt8G32>{32, 512, 0, 16, 32};
template <>
inline constexpr TileShape kTileShape<Format::kInt8G64>{64, 512, 0, 16, 32};
template <>
inline constexpr TileShape kTileShape<Format::kInt8G128>{128, 512, 0, 16, 32};

}  // namespace halod

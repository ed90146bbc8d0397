// kTiles16: sixteen weight rows side by side, so that one register holds the same four columns of all of them
// and a broadcast of four activations feeds them by one integer dot product, with no horizontal sums. Bit for
// bit the file's information, in another order.
//
// A matrix is a sequence of tiles of 16 rows (the last one padded with zeros). A tile of n columns holds,
// each region 64-byte aligned:
//
//   codes   per group of 32 columns, 8 quads of 4 columns; a byte is (row, column in quad). 8-bit codes: 8 x
//   64 bytes.
//           4-bit: quad i in the low and quad i + 4 in the high nibble: 4 x 64 bytes.
//   high    Q5_K: 64 bytes per group, bit i = quad i. Q6_K: 128 bytes per group, 2 bits each: quads 0-3, then
//   4-7. scales  Q4_K, Q5_K per 256 columns: 6-bit scales, then mins: per kind 64 bytes of low nibbles
//   (sub-block j: byte (j % 4) * 16 + row, nibble
//           j / 4) and 32 bytes of 2-bit high parts (byte (j / 4) * 16 + row, bits 2 (j % 4)). Q6_K per 256
//           columns: 16 x 16 int8.
//   d       f16 per row and block: [block][16], for Q4_K and Q5_K followed by dmin [16].
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/quant/formats.h"

namespace halod {

inline constexpr int64_t kTileRows = 16;

/// A format's row in the table of tile layouts; formats without a row stay in WeightLayout::kRows.
struct TileLayout {
  Format format;
  /// Interleaves n_rows <= 16 rows of file blocks, `row_stride` bytes apart, into one tile. Missing rows
  /// become zeros.
  void (*pack)(const std::byte* rows, int64_t row_stride, int64_t n_rows, int64_t cols, std::byte* tile);
  /// The exact file blocks of one row of a tile.
  void (*unpack_row)(const std::byte* tile, int64_t row_in_tile, int64_t cols, std::byte* blocks);

  /// Bytes of one tile: 16 rows as in the file, rounded up to 64.
  int64_t tile_bytes(int64_t cols) const {
    return (kTileRows * traits(format).row_bytes(cols) + 63) / 64 * 64;
  }
  int64_t matrix_bytes(int64_t rows, int64_t cols) const {
    return (rows + kTileRows - 1) / kTileRows * tile_bytes(cols);
  }
};

/// nullptr when the format has no tile layout. Thread: any.
const TileLayout* find_tile_layout(Format format);

}  // namespace halod

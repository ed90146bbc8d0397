// kTiles16: sixteen weight rows side by side, so that one register holds the same four columns of all of them
// and a broadcast of four activations feeds them by one integer dot product, with no horizontal sums. Bit for
// bit the file's information, in another order.
//
// A matrix is a sequence of tiles of 16 rows (the last one padded with zeros). A tile is read once, from its
// first byte to its last, because that is how memory is fastest: regions of all columns, one after the other,
// would be several short streams, which a core reads a quarter slower. So it is a sequence of blocks, of as
// many columns as the file's, and a block of 16 rows holds:
//
//   scales  of six bits, eight at a time: 64 bytes of low nibbles (sub-block j: byte (j % 4) * 16 + row,
//           nibble j / 4) and 32 bytes of 2-bit high parts (byte (j / 4) * 16 + row, bits 2 (j % 4)).
//           Q4_K and Q5_K: scales, then mins; IQ4_XS: scales; Q3_K: scales 0-7, then 8-15.
//           Q6_K and Q2_K: 16 x 16 bytes as in the file. MXFP4: 16 exponents. INT4 and INT8: 16 zeros.
//   d       f16 per row: [16]; followed by dmin [16] (Q2_K, Q4_K, Q5_K) or m [16] (Q4_1, Q5_1).
//   groups  of 32 columns, each:
//     codes 8 quads of 4 columns; a byte is (row, column in quad).
//           8-bit codes (Q8_0, INT8): 8 x 64 bytes.
//           4-bit: quad i in the low and quad i + 4 in the high nibble: 4 x 64 bytes.
//           2-bit (Q2_K, Q3_K, TQ2_0): quads 0-3, then 4-7, two bits each: 2 x 64 bytes.
//     high  the bits above those.
//           One (Q5_K, Q5_0, Q5_1, Q3_K): 64 bytes, bit i = quad i.
//           Two (Q6_K): 128 bytes, as 2-bit codes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/quant/formats.h"

namespace halod {

inline constexpr int64_t kTileRows = 16;

/// How a format's tiles are made. Formats without a layout stay in WeightLayout::kRows.
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

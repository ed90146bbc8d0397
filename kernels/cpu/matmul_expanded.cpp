// Matrix products on the file's own rows of formats with an expansion (FormatTraits::expand: IQ1, IQ2, IQ3,
// TQ1_0): strips of 16 rows are expanded to 8-bit codes side by side, which stay in the first-level cache
// while all tokens are multiplied with them as with a tile.
//
// For many tokens the expansion costs nothing beside the products. For one it is most of the work: looking up
// code books is what bounds these formats on a CPU, not reading them.
#include <algorithm>

#include "kernels/cpu/tables.h"
#include "kernels/cpu/tile_multiply.h"

namespace halod::HALOD_ISA {
namespace {

constexpr int64_t kChunkColumns = 512;  // whole blocks of every format
constexpr int64_t kTokensAtOnce = 64;   // whose sums wait while the chunks of a strip go by

/// A chunk: codes as in a Q8_0 tile, then a float per row and 16 columns.
struct ExpandedTile {
  static constexpr TileShape kShape{kGroupColumns, 512, 0, 2 * kTileRows * sizeof(float), 0, true};
  static constexpr int kOffsetShift = 6, kGroupScales = 2;
  static constexpr bool kHasMin = false, kHasZero = false, kWideCodes = false, kPrefetches = false;
  static_assert(kCodeOffset == 1 << kOffsetShift);
  const float* scales;
  void load_block(const std::byte* scale_region, const std::byte*) {
    scales = reinterpret_cast<const float*>(scale_region);
  }
  static void load_group(const std::byte* codes_at, const std::byte*, Codes& codes) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) codes[i] = load_bytes(codes_at + 64 * i);
  }
  F32x16 scale(int64_t, int half) const { return load(scales + kTileRows * half); }
};

/// Into the second level; beyond the matrix's end too, where a prefetch does nothing.
void prefetch_range(const std::byte* begin, int64_t n_bytes) {
  for (int64_t i = 0; i < n_bytes; i += 64) __builtin_prefetch(begin + i, 0, 2);
}

struct Strip {
  alignas(64) std::byte
      bytes[kChunkColumns / kGroupColumns *
            (ExpandedTile::kShape.code_bytes_per_group + ExpandedTile::kShape.scale_bytes_per_block)];

  /// n_cols columns of n_rows <= 16 rows; missing rows get scales of zero.
  void expand(const FormatTraits& format, const std::byte* rows, int64_t row_bytes, int64_t n_rows,
              int64_t n_cols) {
    auto* quads = reinterpret_cast<uint32_t*>(bytes);
    auto* scales = reinterpret_cast<float*>(bytes + ExpandedTile::kShape.block_at(0, n_cols).scales);
    if (n_rows < kTileRows) std::memset(bytes, 0, sizeof bytes);
    for (int64_t row = 0; row < n_rows; ++row) {
      for (int64_t b = 0; b < n_cols / format.block_elements; ++b) {
        format.expand(rows + row * row_bytes + b * format.block_bytes,
                      {.quads = quads + b * (format.block_elements / 4) * kTileRows + row,
                       .scales = scales + b * (format.block_elements / 16) * kTileRows + row,
                       .stride = kTileRows});
      }
    }
  }
};

}  // namespace

void matmul_expanded(const MatmulArgs& args) {
  const FormatTraits& format = traits(args.weight.format);
  const int64_t cols = args.weight.cols, row_bytes = format.row_bytes(cols);
  Strip strip;
  F32x16 sums[kTokensAtOnce];
  for (int64_t row = args.first_row; row < args.first_row + args.n_rows; row += kTileRows) {
    const int64_t n_rows = std::min(kTileRows, args.weight.rows - row);
    for (int64_t token = 0; token < args.n_tokens; token += kTokensAtOnce) {
      const int64_t n_tokens = std::min(kTokensAtOnce, args.n_tokens - token);
      std::fill_n(sums, n_tokens, zero_f32());
      for (int64_t column = 0; column < cols; column += kChunkColumns) {
        const int64_t n_cols = std::min(kChunkColumns, cols - column);
        const std::byte* blocks = args.weight.data + row * row_bytes + format.row_bytes(column);
        // The rows of the next strip lie together; a chunk of this one asks for its share of them.
        prefetch_range(
            args.weight.data + (row + kTileRows) * row_bytes + kTileRows * format.row_bytes(column),
            kTileRows * format.row_bytes(n_cols));
        strip.expand(format, blocks, row_bytes, n_rows, n_cols);
        for_each_token_block(n_tokens, kMaxTokens, [&](int64_t first, auto n) {
          TokenRow x[n];
          for (int t = 0; t < n; ++t) x[t] = token_row(args, token + first + t, column);
          multiply_tile<ExpandedTile, n>(strip.bytes, sizeof strip.bytes, n_cols, x, sums + first, {});
        });
      }
      store_sums(args, row, token, static_cast<int>(n_tokens), sums);
    }
  }
}

}  // namespace halod::HALOD_ISA

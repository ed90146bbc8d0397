// matmul_tiles_of: a whole product on tiles of a format, row tile by row tile. By vector registers here; by
// the matrix unit, where the instruction set has one, in tile_product_amx.h.
#pragma once

#include <algorithm>

#include "kernels/cpu/tile_codes.h"

#ifdef HALOD_HAS_MATRIX_UNIT
#include "kernels/cpu/tile_product_amx.h"
#else

namespace halod::HALOD_ISA {

#if defined(__AVX512VNNI__)
inline constexpr bool kTakesPairs = true;
#else
inline constexpr bool kTakesPairs = false;  // two tiles' codes fill more registers than there are
#endif
/// Of two tiles: 16 registers of codes, 8 of sums, two of dot products, and what a group needs beside them.
inline constexpr int64_t kMaxTokensOfPair = 4;

/// The next `n_tiles` tiles, from `row` on, with all tokens.
template <class Tile, int n_tiles>
void multiply_tiles(const MatmulArgs& args, const std::byte* tile, int64_t tile_bytes, int64_t row,
                    const TileSettings& settings) {
  const Ahead ahead = n_tiles == 1 ? settings.ahead : settings.ahead_of_pairs;
  constexpr int64_t kLargest = n_tiles == 1 ? kMaxTokens : kMaxTokensOfPair;
  const int64_t max_tokens = std::min(settings.max_tokens, kLargest);
  for_each_token_block<kLargest>(args.n_tokens, max_tokens, [&](int64_t first_token, auto n) {
    TokenRow x[n];
    F32x16 sums[n_tiles * n];
    for (int t = 0; t < n; ++t) x[t] = token_row(args, first_token + t, 0);
    for (F32x16& sum : sums) sum = zero_f32();
    multiply_tile<Tile, n, n_tiles>(tile, tile_bytes, args.weight.cols, x, sums,
                                    AheadOf::pass(tile, n_tiles * tile_bytes, ahead, args.n_tokens,
                                                  max_tokens, first_token, n_tiles == 2));
    for (int k = 0; k < n_tiles; ++k) store_sums(args, row + k * kTileRows, first_token, n, sums + k * n);
  });
}

template <Format format>
void matmul_tiles_of(const MatmulArgs& args, TileSettings settings) {
  using Tile = TileFormat<format>;
  const int64_t tile_bytes = find_tile_layout(format)->tile_bytes(args.weight.cols);
  const int64_t end = args.first_row + args.n_rows;
  int64_t row = args.first_row;
  const auto tile_at = [&](int64_t at_row) { return args.weight.data + at_row / kTileRows * tile_bytes; };
  // Two scales a group are one register too many for two tiles: Q6_K is read slower in pairs. With minima,
  // several tokens gain nothing.
  if constexpr (kTakesPairs && Tile::kGroupScales == 1) {
    const bool in_pairs = settings.in_pairs && (args.n_tokens == 1 || !Tile::kHasMin);
    for (; in_pairs && row + kTileRows < end; row += 2 * kTileRows)
      multiply_tiles<Tile, 2>(args, tile_at(row), tile_bytes, row, settings);
  }
  for (; row < end; row += kTileRows) multiply_tiles<Tile, 1>(args, tile_at(row), tile_bytes, row, settings);
}

}  // namespace halod::HALOD_ISA

#endif

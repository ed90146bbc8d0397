// matmul_tiles_of: a whole product on tiles of a format, row tile by row tile. By vector registers here; by
// the matrix unit, where the instruction set has one, in tile_product_amx.h.
#pragma once

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

template <Format format>
void matmul_tiles_of(const MatmulArgs& args, TileSettings settings) {
  using Tile = TileFormat<format>;
  const int64_t cols = args.weight.cols, tile_bytes = find_tile_layout(format)->tile_bytes(cols);
  const int64_t end = args.first_row + args.n_rows;
  const Ahead ahead = settings.ahead(args.n_tokens);
  int64_t row = args.first_row;
  const auto tile_at = [&](int64_t at_row) { return args.weight.data + at_row / kTileRows * tile_bytes; };
  // Two scales a group are one register too many for two tiles: Q6_K is read slower in pairs.
  if constexpr (kTakesPairs && Tile::kGroupScales == 1) {
    const bool in_pairs = settings.in_pairs && args.n_tokens == 1;
    for (; in_pairs && row + kTileRows < end; row += 2 * kTileRows) {
      const TokenRow x = token_row(args, 0, 0);
      F32x16 sums[2] = {zero_f32(), zero_f32()};
      multiply_tile<Tile, 1, 2>(tile_at(row), tile_bytes, cols, &x, sums,
                                AheadOf::tile(tile_at(row), 2 * tile_bytes, ahead));
      store_sums(args, row, 0, 1, sums);
      store_sums(args, row + kTileRows, 0, 1, sums + 1);
    }
  }
  for (; row < end; row += kTileRows) {
    for_each_token_block(args.n_tokens, settings.max_tokens, [&](int64_t first_token, auto n) {
      TokenRow x[n];
      F32x16 sums[n];
      for (int t = 0; t < n; ++t) {
        x[t] = token_row(args, first_token + t, 0);
        sums[t] = zero_f32();
      }
      multiply_tile<Tile, n>(
          tile_at(row), tile_bytes, cols, x, sums,
          AheadOf::tile(tile_at(row), tile_bytes, first_token == 0 ? ahead : Ahead::kNothing));
      store_sums(args, row, first_token, n, sums);
    });
  }
}

}  // namespace halod::HALOD_ISA

#endif

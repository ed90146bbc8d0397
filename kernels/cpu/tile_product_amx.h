// matmul_tiles_of by the CPU's matrix unit: 16 tokens with 16 weight rows at a time. The integer sums are
// exact and what follows them is tile_multiply.h's, operation by operation, so that the bits are those of the
// vector registers; these also take the tokens that are left over.
//
// Per 32 columns of 16 rows and 16 tokens: one product of the unit (16 cycles on Sapphire Rapids, half of
// what it can, because a scale comes after 32 columns, not 64), 8 stores of unpacked codes, and 16 times a
// load, a conversion and two multiplications (24 cycles by two ports), where vector registers take 16 times
// eight dot products (64) and the same. On paper 2.2 times as fast; no CPU with the unit was at hand.
#pragma once

#include "kernels/cpu/matrix_unit.h"
#include "kernels/cpu/tables.h"
#include "kernels/cpu/tile_codes.h"

namespace halod::HALOD_ISA {

static_assert(kLanes == 16);

/// Where the rows of 16 tokens are: `stride` bytes apart; or, where gathered rows have no common distance, 0.
inline ptrdiff_t common_stride(const TokenRow (&x)[kMatrixTokens]) {
  const ptrdiff_t stride = x[1].codes - x[0].codes;
  for (int t = 2; t < kMatrixTokens; ++t) {
    if (x[t].codes - x[t - 1].codes != stride) return 0;
  }
  return stride;
}

/// sums[t] += the products of the 16 rows of a tile with x[t]; as multiply_tile.
template <class Tile>
void multiply_tile_by_unit(const MatrixUnit<kQuadsPerGroup / Tile::kGroupScales>& unit, const std::byte* tile,
                           int64_t cols, const TokenRow (&x)[kMatrixTokens], F32x16 (&sums)[kMatrixTokens],
                           AheadOf ahead) {
  constexpr TileShape shape = Tile::kShape;
  constexpr int64_t kHalfColumns = kGroupColumns / Tile::kGroupScales;
  constexpr int64_t kBytesPerGroup = shape.bytes_per_group();
  alignas(64) uint8_t code_bytes[64 * kQuadsPerGroup];
  alignas(64) int32_t dots[kLanes * kMatrixTokens];
  alignas(64) int8_t gathered[kMatrixTokens * kGroupColumns];
  const ptrdiff_t stride = common_stride(x);

  Tile block;
  int64_t group = 0;
  for (int64_t b = 0; b < cols / shape.block_columns; ++b) {
    const TileBlock at = shape.block_at(b, cols);
    const std::byte* codes_at = tile + at.groups;
    block.load_block(tile + at.scales, tile + at.d);
    for (int64_t j = 0; j < shape.groups_per_block(); ++j, ++group) {
      Codes codes;
      Tile::load_group(codes_at, codes_at + shape.code_bytes_per_group, codes);
      for (int i = 0; i < kQuadsPerGroup; ++i) store_bytes(code_bytes + 64 * i, codes[i]);
      if constexpr (Tile::kPrefetches) {
        if (ahead.at != nullptr && ahead.asks_at(group))
          prefetch<kBytesPerGroup>(ahead.at + group * kBytesPerGroup, ahead.near);
      }
      codes_at += shape.group_stride();
      if (stride == 0) {
        for (int t = 0; t < kMatrixTokens; ++t)
          std::memcpy(gathered + kGroupColumns * t, x[t].codes + kGroupColumns * group, kGroupColumns);
      }
      const int8_t* tokens = stride == 0 ? gathered : x[0].codes + kGroupColumns * group;
      for (int half = 0; half < Tile::kGroupScales; ++half) {
        unit.multiply(tokens + kHalfColumns * half, stride == 0 ? kGroupColumns : stride,
                      code_bytes + 16 * kHalfColumns * half, dots);
        const F32x16 scale = block.scale(j, half);
        for (int t = 0; t < kMatrixTokens; ++t) {
          const I32x16 offset = initial_sum<Tile>(x[t].negated_sums16 + 2 * group, half);
          const I32x16 dot = {_mm512_add_epi32(_mm512_load_si512(dots + kLanes * t), offset.v)};
          sums[t] = add_products(sums[t], dot, block, scale, x[t], group);
        }
        if constexpr (Tile::kHasMin && Tile::kGroupScales == 2) {
          const F32x16 min = block.min(j, half);
          for (int t = 0; t < kMatrixTokens; ++t)
            sums[t] = add_minimum_of_half(sums[t], min, x[t], group, half);
        }
      }
      if constexpr (Tile::kHasMin && Tile::kGroupScales == 1) {
        const F32x16 min = block.min(j);
        for (int t = 0; t < kMatrixTokens; ++t) sums[t] = add_minimum(sums[t], min, x[t], group);
      }
    }
  }
}

/// The same product for all tokens but the first ones.
inline MatmulArgs tokens_from(int64_t first, MatmulArgs args) {
  if (args.x_rows != nullptr) {
    args.x_rows += first;
  } else {
    Activations& x = args.x;
    const int64_t n_values = first * args.weight.cols;
    x.values = x.values.rows_at(first, x.values.rows - first);
    x.codes += n_values;
    x.scales += n_values / kActivationGroup;
    x.scaled_sums += n_values / kActivationGroup;
    x.negated_sums16 += n_values / 16;
  }
  if (args.y_rows != nullptr) {
    args.y_rows += first;
  } else {
    args.y = args.y.rows_at(first, args.y.rows - first);
  }
  args.n_tokens -= first;
  return args;
}

template <Format format>
void matmul_tiles_of(const MatmulArgs& args, TileSettings settings) {
  using Tile = TileFormat<format>;
  const int64_t cols = args.weight.cols, tile_bytes = find_tile_layout(format)->tile_bytes(cols);
  const int64_t n_by_unit = args.n_tokens / kMatrixTokens * kMatrixTokens;
  if (n_by_unit > 0) {
    const MatrixUnit<kQuadsPerGroup / Tile::kGroupScales> unit{};
    for (int64_t row = args.first_row; row < args.first_row + args.n_rows; row += kTileRows) {
      const std::byte* tile = args.weight.data + row / kTileRows * tile_bytes;
      for (int64_t token = 0; token < n_by_unit; token += kMatrixTokens) {
        TokenRow x[kMatrixTokens];
        F32x16 sums[kMatrixTokens];
        for (int t = 0; t < kMatrixTokens; ++t) {
          x[t] = token_row(args, token + t, 0);
          sums[t] = zero_f32();
        }
        const AheadOf ahead =
            AheadOf::pass(tile, tile_bytes, settings.ahead, n_by_unit, kMatrixTokens, token, false);
        multiply_tile_by_unit<Tile>(unit, tile, cols, x, sums, ahead);
        store_sums(args, row, token, kMatrixTokens, sums);
      }
    }
  }
  if (n_by_unit < args.n_tokens) avx512::matmul_tiles(tokens_from(n_by_unit, args), settings);
}

}  // namespace halod::HALOD_ISA

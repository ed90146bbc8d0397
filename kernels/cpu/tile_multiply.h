// The product of a tile of 16 weight rows with blocks of tokens: weight-stationary, integer dot products, one
// float accumulator per row and token.
//
// For each group of 32 columns: unpack eight registers of codes, and for each token eight dot products with
// broadcast quads of its 8-bit activations, one conversion and one or two fused multiply-adds. For one token
// this reads each weight byte once, in order: the floor is the memory's bandwidth.
//
// Every (row, token) sees the same operations in the same order whatever the number of tokens, which makes
// results independent of batching.
//
// A `Tile` is a format's half of the kernel: its kShape; `load_block` once per block of kShape.block_columns,
// `load_group` per 32 columns, kGroupScales scales (and mins, if kHasMin) per group. kOffsetShift: what
// unsigned codes are too large by, as a shift of the negated sums; negative: nothing. kHasZero: they are too
// large by each row's `zero`; with one scale per group. kWideCodes: codes of
// 128 and more. kPrefetches: the next tile follows this one in memory.
//
// What is asked for ahead, how many tokens share a block of registers and whether two tiles are
// multiplied at once (TileSettings) changes when something happens, not what.
#pragma once

#include <type_traits>

#include "kernels/cpu/simd.h"
#include "kernels/cpu/tile_ahead.h"
#include "kernels/cpu/tile_layout.h"
#include "kernels/cpu/tile_shape.h"
#include "kernels/ops/matmul.h"

namespace halod::HALOD_ISA {

#if defined(__AVX512VNNI__)
// 8 code registers + 8 integer and 8 float accumulators + scale and min: 26 of 32.
inline constexpr int kMaxTokens = 8;
#elif defined(__AVX2__)
inline constexpr int kMaxTokens = 4;
#else
inline constexpr int kMaxTokens = 2;
#endif

/// One token's row in the 8-bit form.
struct TokenRow {
  const int8_t* codes;
  const float* scales;
  const float* scaled_sums;
  const int32_t* negated_sums16;
};

inline int32_t quad_at(const int8_t* codes) {
  int32_t quad;
  std::memcpy(&quad, codes, 4);
  return quad;
}

using Codes = U8x64[kQuadsPerGroup];

/// Where the integer accumulator starts: minus the codes' common offset times the sum of the activations'
/// codes.
template <class Tile>
inline I32x16 initial_sum(const int32_t* negated_sums16, int half) {
  if constexpr (Tile::kOffsetShift < 0) {
    return broadcast_i32(0);
  } else if constexpr (Tile::kGroupScales == 2) {
    return shift_left(broadcast_i32(negated_sums16[half]), Tile::kOffsetShift);
  } else {
    return shift_left(broadcast_i32(negated_sums16[0] + negated_sums16[1]), Tile::kOffsetShift);
  }
}

/// sum + a scale's integer dot products, of the 16 rows with one token, in value.
template <class Tile>
inline F32x16 add_products(F32x16 sum, I32x16 dot, const Tile& block, F32x16 scale, const TokenRow& x,
                           int64_t group) {
  F32x16 product = to_f32(dot);
  if constexpr (Tile::kHasZero) {
    const int32_t negated_sum = x.negated_sums16[2 * group] + x.negated_sums16[2 * group + 1];
    product = fma(block.zero, broadcast(static_cast<float>(negated_sum)), product);
  }
  return fma(product, scale * broadcast(x.scales[group]), sum);
}

/// sum + what the rows' minima add, for formats that have one per 16 columns, then for those with one per 32.
inline F32x16 add_minimum_of_half(F32x16 sum, F32x16 min, const TokenRow& x, int64_t group, int half) {
  const auto negated_sum = static_cast<float>(x.negated_sums16[2 * group + half]);
  return fma(min, broadcast(x.scales[group] * negated_sum), sum);
}
inline F32x16 add_minimum(F32x16 sum, F32x16 min, const TokenRow& x, int64_t group) {
  return fnma(min, broadcast(x.scaled_sums[group]), sum);
}

template <int64_t n_bytes>
inline void prefetch(const std::byte* at, bool near) {
  constexpr int kIntoSecondLevel = 2, kIntoFirstLevel = 3;
  if (near) {
#pragma GCC unroll 16
    for (int64_t i = 0; i < n_bytes; i += 64) __builtin_prefetch(at + i, 0, kIntoFirstLevel);
  } else {
#pragma GCC unroll 16
    for (int64_t i = 0; i < n_bytes; i += 64) __builtin_prefetch(at + i, 0, kIntoSecondLevel);
  }
}

/// sums[k * n_tokens + t] += the products of the 16 rows of tile k, of `cols` columns, with x[t]. Tiles
/// follow one another in memory, `tile_bytes` each.
template <class Tile, int n_tokens, int n_tiles = 1>
void multiply_tile(const std::byte* tile, int64_t tile_bytes, int64_t cols, const TokenRow* x, F32x16* sums,
                   AheadOf ahead) {
  constexpr TileShape shape = Tile::kShape;
  constexpr int kQuadsPerScale = kQuadsPerGroup / Tile::kGroupScales, kSums = n_tiles * n_tokens;
  constexpr int64_t kBytesPerGroup = shape.bytes_per_group();
  F32x16 acc[kSums];
#pragma GCC unroll 8
  for (int i = 0; i < kSums; ++i) acc[i] = sums[i];

  Tile block[n_tiles];
  int64_t group = 0;
  for (int64_t b = 0; b < cols / shape.block_columns; ++b) {
    const TileBlock at = shape.block_at(b, cols);
    const std::byte* codes_at = tile + at.groups;
#pragma GCC unroll 2
    for (int k = 0; k < n_tiles; ++k)
      block[k].load_block(tile + at.scales + k * tile_bytes, tile + at.d + k * tile_bytes);
    for (int64_t j = 0; j < shape.groups_per_block(); ++j, ++group) {
      Codes codes[n_tiles];
#pragma GCC unroll 2
      for (int k = 0; k < n_tiles; ++k)
        Tile::load_group(codes_at + k * tile_bytes, codes_at + shape.code_bytes_per_group + k * tile_bytes,
                         codes[k]);
      if constexpr (Tile::kPrefetches) {
        if (ahead.at != nullptr) {
          if (n_tokens == 1 || ahead.asks_at(group)) {
#pragma GCC unroll 2
            for (int k = 0; k < n_tiles; ++k) prefetch<kBytesPerGroup>(ahead.at + k * tile_bytes, ahead.near);
          }
          ahead.at += kBytesPerGroup;
        }
      }
      codes_at += shape.group_stride();
#pragma GCC unroll 2
      for (int half = 0; half < Tile::kGroupScales; ++half) {
        F32x16 scale[n_tiles];
#pragma GCC unroll 2
        for (int k = 0; k < n_tiles; ++k) scale[k] = block[k].scale(j, half);
#pragma GCC unroll 8
        for (int t = 0; t < n_tokens; ++t) {
          I32x16 dot[n_tiles];
#pragma GCC unroll 2
          for (int k = 0; k < n_tiles; ++k) dot[k] = initial_sum<Tile>(x[t].negated_sums16 + 2 * group, half);
          const int8_t* quads = x[t].codes + kGroupColumns * group + 16 * half;
#pragma GCC unroll 8
          for (int i = 0; i < kQuadsPerScale; ++i) {
            const int32_t quad = quad_at(quads + 4 * i);
#pragma GCC unroll 2
            for (int k = 0; k < n_tiles; ++k) {
              const U8x64 code = codes[k][half * kQuadsPerScale + i];
              dot[k] = Tile::kWideCodes ? dot_quad_wide(dot[k], code, quad) : dot_quad(dot[k], code, quad);
            }
          }
#pragma GCC unroll 2
          for (int k = 0; k < n_tiles; ++k) {
            F32x16& sum = acc[k * n_tokens + t];
            sum = add_products(sum, dot[k], block[k], scale[k], x[t], group);
          }
        }
        if constexpr (Tile::kHasMin && Tile::kGroupScales == 2) {
#pragma GCC unroll 2
          for (int k = 0; k < n_tiles; ++k) {
            const F32x16 min = block[k].min(j, half);
#pragma GCC unroll 8
            for (int t = 0; t < n_tokens; ++t) {
              F32x16& sum = acc[k * n_tokens + t];
              sum = add_minimum_of_half(sum, min, x[t], group, half);
            }
          }
        }
      }
      if constexpr (Tile::kHasMin && Tile::kGroupScales == 1) {
#pragma GCC unroll 2
        for (int k = 0; k < n_tiles; ++k) {
          const F32x16 min = block[k].min(j);
#pragma GCC unroll 8
          for (int t = 0; t < n_tokens; ++t) {
            F32x16& sum = acc[k * n_tokens + t];
            sum = add_minimum(sum, min, x[t], group);
          }
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kSums; ++i) sums[i] = acc[i];
}

inline void store_result(float* y, F32x16 value, int64_t n_valid, bool accumulate) {
  if (n_valid == kTileRows) {
    store(y, accumulate ? load(y) + value : value);
    return;
  }
  float lanes[16];
  store(lanes, value);
  for (int64_t i = 0; i < n_valid; ++i) y[i] = accumulate ? y[i] + lanes[i] : lanes[i];
}

/// The x row of token t from a column on, a multiple of 32.
inline TokenRow token_row(const MatmulArgs& args, int64_t t, int64_t first_column) {
  const int64_t first = args.x_row(t) * args.weight.cols + first_column;
  return {args.x.codes + first, args.x.scales + first / kActivationGroup,
          args.x.scaled_sums + first / kActivationGroup, args.x.negated_sums16 + first / 16};
}

/// y (+)= the sums of the 16 rows from first_row on, for tokens first_token and n_tokens - 1 more.
inline void store_sums(const MatmulArgs& args, int64_t first_row, int64_t first_token, int n_tokens,
                       const F32x16* sums) {
  const int64_t rows_left = args.weight.rows - first_row;
  for (int t = 0; t < n_tokens; ++t) {
    store_result(args.y.row_data(args.y_row(first_token + t)) + (first_row - args.y_origin), sums[t],
                 rows_left < kTileRows ? rows_left : kTileRows, args.accumulate);
  }
}

/// Calls function(first, count) for [0, n) in pieces of `largest` (8, 4 or 2), then of smaller powers of two,
/// none of more than max_tokens; count is an integral_constant.
template <int64_t largest = kMaxTokens, class Function>
void for_each_token_block(int64_t n, int64_t max_tokens, const Function& function) {
  int64_t t = 0;
  if (max_tokens >= largest) {
    for (; t + largest <= n; t += largest) function(t, std::integral_constant<int, largest>());
  }
  if constexpr (largest > 4) {
    if (max_tokens >= 4) {
      for (; t + 4 <= n; t += 4) function(t, std::integral_constant<int, 4>());
    }
  }
  if constexpr (largest > 2) {
    for (; t + 2 <= n; t += 2) function(t, std::integral_constant<int, 2>());
  }
  for (; t < n; ++t) function(t, std::integral_constant<int, 1>());
}

}  // namespace halod::HALOD_ISA

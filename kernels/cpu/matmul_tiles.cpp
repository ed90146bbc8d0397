// Matrix products on WeightLayout::kTiles16: weight-stationary, integer dot products, one float accumulator
// per row and token.
//
// Per tile (16 rows) and block of tokens, for each group of 32 columns: unpack eight registers of codes, and
// for each token eight dot products with broadcast quads of its 8-bit activations, one conversion and one or
// two fused multiply-adds. For one token this reads each weight byte once, in order: the floor is the
// memory's bandwidth.
//
// Every (row, token) sees the same operations in the same order whatever the number of tokens, which makes
// results independent of batching.
#include <array>

#include "kernels/cpu/simd.h"
#include "kernels/cpu/tables.h"
#include "kernels/cpu/tile_layout.h"
#include "kernels/cpu/tile_shape.h"

namespace halod::HALOD_ISA {
namespace {

#if defined(__AVX512VNNI__)
// 8 code registers + 8 integer and 8 float accumulators + scale and min: 26 of 32.
constexpr int kMaxTokens = 8;
#elif defined(__AVX2__)
constexpr int kMaxTokens = 4;
#else
constexpr int kMaxTokens = 2;
#endif

/// One token's row in the 8-bit form.
struct TokenRow {
  const int8_t* codes;
  const float* scales;
  const float* scaled_sums;
  const int32_t* negated_sums16;
};

int32_t quad_at(const int8_t* codes) {
  int32_t quad;
  std::memcpy(&quad, codes, 4);
  return quad;
}

using Codes = U8x64[kQuadsPerGroup];

inline void unpack_nibbles(const std::byte* p, Codes& codes) {
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const U8x64 both = load_bytes(p + 64 * i);
    codes[i] = both & 0x0f;
    codes[i + 4] = shift_right_then_mask<4>(both, 0x0f);
  }
}

// A format's half of the kernel: `load_block` once per file block, `load_group` per 32 columns, and
// kGroupScales scales (and a min) per group. kOffset: what unsigned codes are too large by, as a shift of the
// negated sums.
template <Format>
struct TileFormat;

template <>
struct TileFormat<Format::kQ4_0> {
  static constexpr int kOffsetShift = 3, kGroupScales = 1;
  static constexpr bool kHasMin = false, kWideCodes = false;
  F32x16 d;
  void load_block(const std::byte*, const std::byte* d_region) {
    d = load_f16(reinterpret_cast<const uint16_t*>(d_region));
  }
  static void load_group(const std::byte* codes_at, const std::byte*, Codes& codes) {
    unpack_nibbles(codes_at, codes);
  }
  F32x16 scale(int64_t, int) const { return d; }
};

template <>
struct TileFormat<Format::kQ8_0> {
  static constexpr int kOffsetShift = 7, kGroupScales = 1;
  static constexpr bool kHasMin = false, kWideCodes = true;
  F32x16 d;
  void load_block(const std::byte*, const std::byte* d_region) {
    d = load_f16(reinterpret_cast<const uint16_t*>(d_region));
  }
  static void load_group(const std::byte* codes_at, const std::byte*, Codes& codes) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) codes[i] = load_bytes(codes_at + 64 * i);
  }
  F32x16 scale(int64_t, int) const { return d; }
};

template <>
struct TileFormat<Format::kQ4_K> {
  static constexpr int kOffsetShift = -1, kGroupScales = 1;
  static constexpr bool kHasMin = true, kWideCodes = false;
  F32x16 d, dmin;
  alignas(64) uint8_t scales[8 * 16];
  alignas(64) uint8_t mins[8 * 16];
  static void expand(const std::byte* region, uint8_t* out) {
    const U8x64 low = load_bytes(region);
    store_bytes(out, (low & 0x0f) | expand_crumbs(region + 64));
    store_bytes(out + 64, shift_right_then_mask<4>(low, 0x0f) | expand_crumbs(region + 80));
  }
  void load_block(const std::byte* scale_region, const std::byte* d_region) {
    d = load_f16(reinterpret_cast<const uint16_t*>(d_region));
    dmin = load_f16(reinterpret_cast<const uint16_t*>(d_region + 32));
    expand(scale_region, scales);
    expand(scale_region + 96, mins);
  }
  static void load_group(const std::byte* codes_at, const std::byte*, Codes& codes) {
    unpack_nibbles(codes_at, codes);
  }
  F32x16 scale(int64_t j, int) const { return d * load_u8_as_f32(scales + 16 * j); }
  F32x16 min(int64_t j) const { return dmin * load_u8_as_f32(mins + 16 * j); }
};

template <>
struct TileFormat<Format::kQ5_K> : TileFormat<Format::kQ4_K> {
  static void load_group(const std::byte* codes_at, const std::byte* high_at, Codes& codes) {
    unpack_nibbles(codes_at, codes);
    const U8x64 high = load_bytes(high_at);
    codes[0] = codes[0] | shift_left_then_mask<4>(high, 0x10);
    codes[1] = codes[1] | shift_left_then_mask<3>(high, 0x10);
    codes[2] = codes[2] | shift_left_then_mask<2>(high, 0x10);
    codes[3] = codes[3] | shift_left_then_mask<1>(high, 0x10);
    codes[4] = codes[4] | (high & 0x10);
    codes[5] = codes[5] | shift_right_then_mask<1>(high, 0x10);
    codes[6] = codes[6] | shift_right_then_mask<2>(high, 0x10);
    codes[7] = codes[7] | shift_right_then_mask<3>(high, 0x10);
  }
};

template <>
struct TileFormat<Format::kQ6_K> {
  static constexpr int kOffsetShift = 5, kGroupScales = 2;
  static constexpr bool kHasMin = false, kWideCodes = false;
  F32x16 d;
  const int8_t* scales;
  void load_block(const std::byte* scale_region, const std::byte* d_region) {
    d = load_f16(reinterpret_cast<const uint16_t*>(d_region));
    scales = reinterpret_cast<const int8_t*>(scale_region);
  }
  static void load_group(const std::byte* codes_at, const std::byte* high_at, Codes& codes) {
    unpack_nibbles(codes_at, codes);
#pragma GCC unroll 2
    for (int part = 0; part < 2; ++part) {
      const U8x64 high = load_bytes(high_at + 64 * part);
      codes[4 * part] = codes[4 * part] | shift_left_then_mask<4>(high, 0x30);
      codes[4 * part + 1] = codes[4 * part + 1] | shift_left_then_mask<2>(high, 0x30);
      codes[4 * part + 2] = codes[4 * part + 2] | (high & 0x30);
      codes[4 * part + 3] = codes[4 * part + 3] | shift_right_then_mask<2>(high, 0x30);
    }
  }
  F32x16 scale(int64_t j, int half) const { return d * load_s8_as_f32(scales + 16 * (2 * j + half)); }
};

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

/// Asks for what is read one tile later. A tile's regions are short streams that each begin on other pages,
/// which the hardware's prefetchers must find anew every time; all of them together are one long run of
/// bytes.
template <int64_t n_bytes>
inline void prefetch(const std::byte* at) {
  constexpr int kIntoSecondLevel = 2;  // a tile fills most of the first level
#pragma GCC unroll 16
  for (int64_t i = 0; i < n_bytes; i += 64) __builtin_prefetch(at + i, 0, kIntoSecondLevel);
}

template <Format format, int n_tokens>
void multiply_tile(const std::byte* tile, int64_t cols, const TokenRow* x, F32x16* out) {
  using Tile = TileFormat<format>;
  constexpr TileShape shape = kTileShape<format>;
  constexpr int kQuadsPerScale = kQuadsPerGroup / Tile::kGroupScales;
  const std::byte* codes_at = tile;
  const std::byte* high_at = tile + shape.high_offset(cols);
  const std::byte* scales_at = tile + shape.scale_offset(cols);
  const std::byte* d_at = tile + shape.d_offset(cols);
  F32x16 acc[n_tokens];
#pragma GCC unroll 8
  for (int t = 0; t < n_tokens; ++t) acc[t] = zero_f32();

  Tile block;
  constexpr int64_t kBytesPerGroup =
      shape.code_bytes_per_group + shape.high_bytes_per_group +
      (shape.scale_bytes_per_block + shape.d_bytes_per_block) / shape.groups_per_block();
  const std::byte* ahead = tile + kBytesPerGroup * (cols / kGroupColumns);
  int64_t group = 0;
  for (int64_t b = 0; b < cols / shape.block_columns; ++b) {
    block.load_block(scales_at, d_at);
    scales_at += shape.scale_bytes_per_block;
    d_at += shape.d_bytes_per_block;
    for (int64_t j = 0; j < shape.groups_per_block(); ++j, ++group) {
      Codes codes;
      Tile::load_group(codes_at, high_at, codes);
      prefetch<kBytesPerGroup>(ahead);
      ahead += kBytesPerGroup;
      codes_at += shape.code_bytes_per_group;
      high_at += shape.high_bytes_per_group;
#pragma GCC unroll 2
      for (int half = 0; half < Tile::kGroupScales; ++half) {
        const F32x16 scale = block.scale(j, half);
#pragma GCC unroll 8
        for (int t = 0; t < n_tokens; ++t) {
          I32x16 dot = initial_sum<Tile>(x[t].negated_sums16 + 2 * group, half);
          const int8_t* quads = x[t].codes + kGroupColumns * group + 16 * half;
#pragma GCC unroll 8
          for (int i = 0; i < kQuadsPerScale; ++i) {
            const U8x64 code = codes[half * kQuadsPerScale + i];
            dot = Tile::kWideCodes ? dot_quad_wide(dot, code, quad_at(quads + 4 * i))
                                   : dot_quad(dot, code, quad_at(quads + 4 * i));
          }
          acc[t] = fma(to_f32(dot), scale * broadcast(x[t].scales[group]), acc[t]);
        }
      }
      if constexpr (Tile::kHasMin) {
        const F32x16 min = block.min(j);
#pragma GCC unroll 8
        for (int t = 0; t < n_tokens; ++t) acc[t] = fnma(min, broadcast(x[t].scaled_sums[group]), acc[t]);
      }
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < n_tokens; ++t) out[t] = acc[t];
}

void store_result(float* y, F32x16 value, int64_t n_valid, bool accumulate) {
  if (n_valid == kTileRows) {
    store(y, accumulate ? load(y) + value : value);
    return;
  }
  float lanes[16];
  store(lanes, value);
  for (int64_t i = 0; i < n_valid; ++i) y[i] = accumulate ? y[i] + lanes[i] : lanes[i];
}

template <Format format, int n_tokens>
void multiply_tokens(const MatmulArgs& args, const std::byte* tile, int64_t first_row, int64_t first_token) {
  TokenRow x[n_tokens];
  const int64_t cols = args.weight.cols;
  for (int t = 0; t < n_tokens; ++t) {
    const int64_t row = args.x_row(first_token + t);
    x[t] = {args.x.codes + row * cols, args.x.scales + row * (cols / kActivationGroup),
            args.x.scaled_sums + row * (cols / kActivationGroup), args.x.negated_sums16 + row * (cols / 16)};
  }
  F32x16 result[n_tokens];
  multiply_tile<format, n_tokens>(tile, cols, x, result);
  const int64_t rows_left = args.weight.rows - first_row;
  for (int t = 0; t < n_tokens; ++t) {
    store_result(args.y.row_data(args.y_row(first_token + t)) + (first_row - args.y_origin), result[t],
                 rows_left < kTileRows ? rows_left : kTileRows, args.accumulate);
  }
}

template <Format format>
void matmul(const MatmulArgs& args) {
  const int64_t tile_bytes = find_tile_layout(format)->tile_bytes(args.weight.cols);
  for (int64_t row = args.first_row; row < args.first_row + args.n_rows; row += kTileRows) {
    const std::byte* tile = args.weight.data + row / kTileRows * tile_bytes;
    int64_t token = 0;
    for (; token + kMaxTokens <= args.n_tokens; token += kMaxTokens)
      multiply_tokens<format, kMaxTokens>(args, tile, row, token);
    if constexpr (kMaxTokens > 4) {
      for (; token + 4 <= args.n_tokens; token += 4) multiply_tokens<format, 4>(args, tile, row, token);
    }
    if constexpr (kMaxTokens > 2) {
      for (; token + 2 <= args.n_tokens; token += 2) multiply_tokens<format, 2>(args, tile, row, token);
    }
    for (; token < args.n_tokens; ++token) multiply_tokens<format, 1>(args, tile, row, token);
  }
}

}  // namespace

void matmul_tiles(const MatmulArgs& args) {
  switch (args.weight.format) {
    case Format::kQ4_0:
      return matmul<Format::kQ4_0>(args);
    case Format::kQ8_0:
      return matmul<Format::kQ8_0>(args);
    case Format::kQ4_K:
      return matmul<Format::kQ4_K>(args);
    case Format::kQ5_K:
      return matmul<Format::kQ5_K>(args);
    case Format::kQ6_K:
      return matmul<Format::kQ6_K>(args);
    default:
      HALOD_ASSERT(!"no tile kernel for this format: select_matmul() asks find_tile_layout first");
  }
}

}  // namespace halod::HALOD_ISA

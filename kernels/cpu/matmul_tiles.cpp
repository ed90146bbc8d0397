// Matrix products on WeightLayout::kTiles16 for the formats of 32-column blocks; matmul_tiles_k.cpp has those
// of 256 columns.
#include "kernels/cpu/tables.h"
#include "kernels/cpu/tile_product.h"
#include "kernels/quant/mxfp4.h"

namespace halod::HALOD_ISA {

template <>
struct TileFormat<Format::kQ4_0> : PlainTile<Format::kQ4_0, 3> {};

template <>
struct TileFormat<Format::kQ8_0> : PlainTile<Format::kQ8_0, 7> {
  static constexpr bool kWideCodes = true;
  static void load_group(const std::byte* codes_at, const std::byte*, Codes& codes) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) codes[i] = load_bytes(codes_at + 64 * i);
  }
};

/// w = d * (q - 2^shift) + (m + 2^shift * d): with codes around zero, the two sums do not cancel, as d * q
/// and m do in f32 where weights have both signs. The second factor is exact unless d and m differ a
/// thousandfold.
template <Format format, int shift>
struct TileWithMinimum : PlainTile<format, shift> {
  static constexpr bool kHasMin = true;
  F32x16 negated_middle;
  void load_block(const std::byte*, const std::byte* d_region) {
    this->d = load_f16_bytes(d_region);
    negated_middle = fnma(this->d, broadcast(1 << shift), zero_f32() - load_f16_bytes(d_region + 32));
  }
  F32x16 min(int64_t) const { return negated_middle; }
};

template <>
struct TileFormat<Format::kQ4_1> : TileWithMinimum<Format::kQ4_1, 3> {};

template <>
struct TileFormat<Format::kQ5_0> : PlainTile<Format::kQ5_0, 4> {
  static void load_group(const std::byte* codes_at, const std::byte* high_at, Codes& codes) {
    unpack_nibbles(codes_at, codes);
    or_high_bits<4>(load_bytes(high_at), codes);
  }
};

template <>
struct TileFormat<Format::kQ5_1> : TileWithMinimum<Format::kQ5_1, 4> {
  static void load_group(const std::byte* codes_at, const std::byte* high_at, Codes& codes) {
    TileFormat<Format::kQ5_0>::load_group(codes_at, high_at, codes);
  }
};

template <>
struct TileFormat<Format::kIQ4_NL> : PlainTile<Format::kIQ4_NL, 7> {
  static constexpr bool kWideCodes = true;
  static void load_group(const std::byte* codes_at, const std::byte*, Codes& codes) {
    unpack_nibbles(codes_at, codes);
    look_up_all(kIq4Codes, codes);
  }
};

template <>
struct TileFormat<Format::kMXFP4> : PlainTile<Format::kMXFP4, 4> {
  static constexpr ByteTable kValues = unsigned_values(kMxfp4DoubledValues, 16);
  void load_block(const std::byte* scale_region, const std::byte*) { d = load_half_e8m0(scale_region); }
  static void load_group(const std::byte* codes_at, const std::byte*, Codes& codes) {
    unpack_nibbles(codes_at, codes);
    look_up_all(kValues, codes);
  }
};

void matmul_tiles(const MatmulArgs& args, TileSettings settings) {
  switch (args.weight.format) {
    case Format::kQ4_0:
      return matmul_tiles_of<Format::kQ4_0>(args, settings);
    case Format::kQ8_0:
      return matmul_tiles_of<Format::kQ8_0>(args, settings);
    case Format::kQ4_1:
      return matmul_tiles_of<Format::kQ4_1>(args, settings);
    case Format::kQ5_0:
      return matmul_tiles_of<Format::kQ5_0>(args, settings);
    case Format::kQ5_1:
      return matmul_tiles_of<Format::kQ5_1>(args, settings);
    case Format::kIQ4_NL:
      return matmul_tiles_of<Format::kIQ4_NL>(args, settings);
    case Format::kMXFP4:
      return matmul_tiles_of<Format::kMXFP4>(args, settings);
    default:
      return matmul_tiles_k(args, settings);
  }
}

}  // namespace halod::HALOD_ISA

// Matrix products on WeightLayout::kTiles16 for INT4 and INT8 in groups (kernels/quant/int_groups.h).
#include "kernels/cpu/tables.h"
#include "kernels/cpu/tile_product.h"

namespace halod::HALOD_ISA {

/// w = scale * (code - zero). The sums of code * x and zero * x over a group are whole numbers below 2^24, so
/// that their difference is exact in f32 however much of them cancels.
template <Format format>
struct Int4Tile : PlainTile<format, -1> {
  static constexpr bool kHasZero = true;
  F32x16 zero;
  void load_block(const std::byte* zeros, const std::byte* d_region) {
    this->d = load_f16_bytes(d_region);
    zero = load_u8_as_f32(reinterpret_cast<const uint8_t*>(zeros));
  }
};

template <Format format>
struct Int8Tile : Int4Tile<format> {
  static constexpr bool kWideCodes = true;
  static void load_group(const std::byte* codes_at, const std::byte*, Codes& codes) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) codes[i] = load_bytes(codes_at + 64 * i);
  }
};

template <>
struct TileFormat<Format::kInt4G32> : Int4Tile<Format::kInt4G32> {};
template <>
struct TileFormat<Format::kInt4G64> : Int4Tile<Format::kInt4G64> {};
template <>
struct TileFormat<Format::kInt4G128> : Int4Tile<Format::kInt4G128> {};
template <>
struct TileFormat<Format::kInt8G32> : Int8Tile<Format::kInt8G32> {};
template <>
struct TileFormat<Format::kInt8G64> : Int8Tile<Format::kInt8G64> {};
template <>
struct TileFormat<Format::kInt8G128> : Int8Tile<Format::kInt8G128> {};

void matmul_tiles_int(const MatmulArgs& args, TileSettings settings) {
  switch (args.weight.format) {
    case Format::kInt4G32:
      return matmul_tiles_of<Format::kInt4G32>(args, settings);
    case Format::kInt4G64:
      return matmul_tiles_of<Format::kInt4G64>(args, settings);
    case Format::kInt4G128:
      return matmul_tiles_of<Format::kInt4G128>(args, settings);
    case Format::kInt8G32:
      return matmul_tiles_of<Format::kInt8G32>(args, settings);
    case Format::kInt8G64:
      return matmul_tiles_of<Format::kInt8G64>(args, settings);
    case Format::kInt8G128:
      return matmul_tiles_of<Format::kInt8G128>(args, settings);
    default:
      HALOD_ASSERT(!"no tile kernel for this format: select_matmul() asks find_tile_layout first");
  }
}

}  // namespace halod::HALOD_ISA

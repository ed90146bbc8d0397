// Matrix products on WeightLayout::kTiles16 for the formats of 256-column blocks.
#include "kernels/cpu/tables.h"
#include "kernels/cpu/tile_product.h"

namespace halod::HALOD_ISA {
namespace {

/// Eight 6-bit values of 16 rows to bytes (tile_layout.h).
constexpr int64_t kSixBitRegionBytes = 96;
void expand_six_bits(const std::byte* region, uint8_t* out) {
  const U8x64 low = load_bytes(region);
  store_bytes(out, (low & 0x0f) | expand_crumbs(region + 64));
  store_bytes(out + 64, shift_right_then_mask<4>(low, 0x0f) | expand_crumbs(region + 80));
}

/// 16 scales of six bits that stand for -32 … 31.
F32x16 centred(const uint8_t* scales) { return load_u8_as_f32(scales) - broadcast(32.0F); }

}  // namespace

template <>
struct TileFormat<Format::kQ4_K> : PlainTile<Format::kQ4_K, -1> {
  static constexpr bool kHasMin = true;
  F32x16 dmin;
  alignas(64) uint8_t scales[8 * 16];
  alignas(64) uint8_t mins[8 * 16];
  void load_block(const std::byte* scale_region, const std::byte* d_region) {
    d = load_f16_bytes(d_region);
    dmin = load_f16_bytes(d_region + 32);
    expand_six_bits(scale_region, scales);
    expand_six_bits(scale_region + kSixBitRegionBytes, mins);
  }
  F32x16 scale(int64_t j, int) const { return d * load_u8_as_f32(scales + 16 * j); }
  F32x16 min(int64_t j) const { return dmin * load_u8_as_f32(mins + 16 * j); }
};

template <>
struct TileFormat<Format::kQ5_K> : TileFormat<Format::kQ4_K> {
  static constexpr TileShape kShape = kTileShape<Format::kQ5_K>;
  static void load_group(const std::byte* codes_at, const std::byte* high_at, Codes& codes) {
    unpack_nibbles(codes_at, codes);
    or_high_bits<4>(load_bytes(high_at), codes);
  }
};

template <>
struct TileFormat<Format::kQ6_K> : PlainTile<Format::kQ6_K, 5> {
  static constexpr int kGroupScales = 2;
  const int8_t* scales;
  void load_block(const std::byte* scale_region, const std::byte* d_region) {
    d = load_f16_bytes(d_region);
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

template <>
struct TileFormat<Format::kQ2_K> : PlainTile<Format::kQ2_K, -1> {
  static constexpr int kGroupScales = 2;
  static constexpr bool kHasMin = true;
  F32x16 dmin;
  alignas(64) uint8_t scales[16 * 16];
  alignas(64) uint8_t mins[16 * 16];
  void load_block(const std::byte* scale_region, const std::byte* d_region) {
    d = load_f16_bytes(d_region);
    dmin = load_f16_bytes(d_region + 32);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const U8x64 both = load_bytes(scale_region + 64 * i);
      store_bytes(scales + 64 * i, both & 0x0f);
      store_bytes(mins + 64 * i, shift_right_then_mask<4>(both, 0x0f));
    }
  }
  static void load_group(const std::byte* codes_at, const std::byte*, Codes& codes) {
    unpack_crumbs(codes_at, codes);
  }
  F32x16 scale(int64_t j, int half) const { return d * load_u8_as_f32(scales + 16 * (2 * j + half)); }
  F32x16 min(int64_t j, int half) const { return dmin * load_u8_as_f32(mins + 16 * (2 * j + half)); }
};

template <>
struct TileFormat<Format::kQ3_K> : PlainTile<Format::kQ3_K, 2> {
  static constexpr int kGroupScales = 2;
  alignas(64) uint8_t scales[16 * 16];
  void load_block(const std::byte* scale_region, const std::byte* d_region) {
    d = load_f16_bytes(d_region);
    expand_six_bits(scale_region, scales);
    expand_six_bits(scale_region + kSixBitRegionBytes, scales + 8 * 16);
  }
  static void load_group(const std::byte* codes_at, const std::byte* high_at, Codes& codes) {
    unpack_crumbs(codes_at, codes);
    or_high_bits<2>(load_bytes(high_at), codes);
  }
  F32x16 scale(int64_t j, int half) const { return d * centred(scales + 16 * (2 * j + half)); }
};

template <>
struct TileFormat<Format::kIQ4_XS> : PlainTile<Format::kIQ4_XS, 7> {
  static constexpr bool kWideCodes = true;
  alignas(64) uint8_t scales[8 * 16];
  void load_block(const std::byte* scale_region, const std::byte* d_region) {
    d = load_f16_bytes(d_region);
    expand_six_bits(scale_region, scales);
  }
  static void load_group(const std::byte* codes_at, const std::byte*, Codes& codes) {
    unpack_nibbles(codes_at, codes);
    look_up_all(kIq4Codes, codes);
  }
  F32x16 scale(int64_t j, int) const { return d * centred(scales + 16 * j); }
};

template <>
struct TileFormat<Format::kTQ2_0> : PlainTile<Format::kTQ2_0, 0> {
  static void load_group(const std::byte* codes_at, const std::byte*, Codes& codes) {
    unpack_crumbs(codes_at, codes);
  }
};

void matmul_tiles_k(const MatmulArgs& args, TileSettings settings) {
  switch (args.weight.format) {
    case Format::kQ4_K:
      return matmul_tiles_of<Format::kQ4_K>(args, settings);
    case Format::kQ5_K:
      return matmul_tiles_of<Format::kQ5_K>(args, settings);
    case Format::kQ6_K:
      return matmul_tiles_of<Format::kQ6_K>(args, settings);
    case Format::kQ2_K:
      return matmul_tiles_of<Format::kQ2_K>(args, settings);
    case Format::kQ3_K:
      return matmul_tiles_of<Format::kQ3_K>(args, settings);
    case Format::kIQ4_XS:
      return matmul_tiles_of<Format::kIQ4_XS>(args, settings);
    case Format::kTQ2_0:
      return matmul_tiles_of<Format::kTQ2_0>(args, settings);
    default:
      return matmul_tiles_int(args, settings);
  }
}

}  // namespace halod::HALOD_ISA

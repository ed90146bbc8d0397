// How the registers of a tile's codes are unpacked, for the formats of matmul_tiles.cpp and
// matmul_tiles_k.cpp.
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/cpu/tile_multiply.h"
#include "kernels/cpu/tile_settings.h"
#include "kernels/cpu/tile_shape.h"
#include "kernels/quant/iq4.h"

namespace halod::HALOD_ISA {

inline F32x16 load_f16_bytes(const std::byte* p) { return load_f16(reinterpret_cast<const uint16_t*>(p)); }

inline void unpack_nibbles(const std::byte* p, Codes& codes) {
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const U8x64 both = load_bytes(p + 64 * i);
    codes[i] = both & 0x0f;
    codes[i + 4] = shift_right_then_mask<4>(both, 0x0f);
  }
}

/// Quads 0-3, then 4-7: two bits each.
inline void unpack_crumbs(const std::byte* p, Codes& codes) {
#pragma GCC unroll 2
  for (int part = 0; part < 2; ++part) {
    const U8x64 crumbs = load_bytes(p + 64 * part);
    codes[4 * part] = crumbs & 3;
    codes[4 * part + 1] = shift_right_then_mask<2>(crumbs, 3);
    codes[4 * part + 2] = shift_right_then_mask<4>(crumbs, 3);
    codes[4 * part + 3] = shift_right_then_mask<6>(crumbs, 3);
  }
}

/// Bit i of `high` becomes bit `to` of quad i.
template <int to, int i = 0>
void or_high_bits(U8x64 high, Codes& codes) {
  constexpr uint8_t kMask = 1U << to;
  if constexpr (i < to) {
    codes[i] = codes[i] | shift_left_then_mask<to - i>(high, kMask);
  } else if constexpr (i == to) {
    codes[i] = codes[i] | (high & kMask);
  } else {
    codes[i] = codes[i] | shift_right_then_mask<i - to>(high, kMask);
  }
  if constexpr (i + 1 < kQuadsPerGroup) or_high_bits<to, i + 1>(high, codes);
}

/// A code book of 16 values, unsigned by adding `offset`.
struct ByteTable {
  uint8_t bytes[16];
};
constexpr ByteTable unsigned_values(const int8_t (&values)[16], int offset) {
  ByteTable table = {};
  for (int i = 0; i < 16; ++i) table.bytes[i] = static_cast<uint8_t>(values[i] + offset);
  return table;
}
inline void look_up_all(const ByteTable& table, Codes& codes) {
#pragma GCC unroll 8
  for (int i = 0; i < kQuadsPerGroup; ++i) codes[i] = look_up(table.bytes, codes[i]);
}

/// IQ4_NL and IQ4_XS; their values reach from -127 to 113.
inline constexpr ByteTable kIq4Codes = unsigned_values(kIq4Values, 128);

/// A format's Tile (tile_multiply.h).
template <Format>
struct TileFormat;

/// What most formats have in common.
template <Format format, int offset_shift>
struct PlainTile {
  static constexpr TileShape kShape = kTileShape<format>;
  static constexpr int kOffsetShift = offset_shift, kGroupScales = 1;
  static constexpr bool kHasMin = false, kHasZero = false, kWideCodes = false, kPrefetches = true;
  F32x16 d;
  void load_block(const std::byte*, const std::byte* d_region) { d = load_f16_bytes(d_region); }
  static void load_group(const std::byte* codes_at, const std::byte*, Codes& codes) {
    unpack_nibbles(codes_at, codes);
  }
  F32x16 scale(int64_t, int) const { return d; }
};

}  // namespace halod::HALOD_ISA

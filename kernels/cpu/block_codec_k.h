// As block_codec.h, for blocks of 256 columns: Q2_K to Q6_K, IQ4_XS, TQ2_0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/block_codec.h"
#include "kernels/quant/k_scales.h"
#include "kernels/quant/q3_k.h"

namespace halod {

/// Eight 6-bit values per row in 96 bytes of a tile's scale region: 64 bytes of nibbles (value j: byte
/// (j % 4) * 16 + row, nibble j / 4), then 32 bytes of high parts (byte (j / 4) * 16 + row, bits 2 (j % 4)).
struct SixBitRegion {
  static constexpr int64_t kBytes = 96;

  static void put(std::byte* region, int64_t j, int64_t row, uint32_t value) {
    region[(j % 4) * 16 + row] |= static_cast<std::byte>((value & 15U) << (4 * (j / 4)));
    region[64 + (j / 4) * 16 + row] |= static_cast<std::byte>((value >> 4) << (2 * (j % 4)));
  }
  static uint32_t get(const std::byte* region, int64_t j, int64_t row) {
    const uint32_t nibble = (byte_at(region, (j % 4) * 16 + row) >> (4 * (j / 4))) & 15U;
    return nibble | (((byte_at(region, 64 + (j / 4) * 16 + row) >> (2 * (j % 4))) & 3U) << 4);
  }
};

/// The 12 bytes of 6-bit scales and mins that Q4_K and Q5_K share (k_scales.h), to and from one row of a
/// tile's scale region: scales, then mins.
struct KScalesCodec {
  static void pack(const std::byte* packed, int64_t row, std::byte* region) {
    uint8_t bytes[12];
    std::memcpy(bytes, packed, 12);
    const KScales scales = unpack_k_scales(bytes);
    for (int64_t j = 0; j < 8; ++j) {
      SixBitRegion::put(region, j, row, scales.scale[j]);
      SixBitRegion::put(region + SixBitRegion::kBytes, j, row, scales.min[j]);
    }
  }
  static void unpack(const std::byte* region, int64_t row, std::byte* packed) {
    KScales scales;
    for (int64_t j = 0; j < 8; ++j) {
      scales.scale[j] = static_cast<uint8_t>(SixBitRegion::get(region, j, row));
      scales.min[j] = static_cast<uint8_t>(SixBitRegion::get(region + SixBitRegion::kBytes, j, row));
    }
    uint8_t bytes[12];
    pack_k_scales(scales, bytes);
    std::memcpy(packed, bytes, 12);
  }
};

/// d, dmin, 12 bytes of scales, codes.
template <>
struct BlockCodec<Format::kQ4_K> : BlockQuads<Format::kQ4_K> {
  static constexpr int64_t kDOffset = 0;
  static void pack_scales(const std::byte* block, int64_t row, std::byte* region) {
    KScalesCodec::pack(block + 4, row, region);
  }
  static void unpack_scales(const std::byte* region, int64_t row, std::byte* block) {
    KScalesCodec::unpack(region, row, block + 4);
  }
};

/// As Q4_K.
template <>
struct BlockCodec<Format::kQ5_K> : BlockQuads<Format::kQ5_K> {
  static constexpr int64_t kDOffset = 0;
  static void pack_scales(const std::byte* block, int64_t row, std::byte* region) {
    KScalesCodec::pack(block + 4, row, region);
  }
  static void unpack_scales(const std::byte* region, int64_t row, std::byte* block) {
    KScalesCodec::unpack(region, row, block + 4);
  }
};

/// Codes, 16 int8 scales, d.
template <>
struct BlockCodec<Format::kQ6_K> : BlockQuads<Format::kQ6_K> {
  static constexpr int64_t kScales = 192;
  static constexpr int64_t kDOffset = 208;
  static void pack_scales(const std::byte* block, int64_t row, std::byte* region) {
    for (int64_t j = 0; j < 16; ++j) region[j * 16 + row] = block[kScales + j];
  }
  static void unpack_scales(const std::byte* region, int64_t row, std::byte* block) {
    for (int64_t j = 0; j < 16; ++j) block[kScales + j] = region[j * 16 + row];
  }
};

/// 16 bytes of a 4-bit scale and a 4-bit min each, codes, d, dmin.
template <>
struct BlockCodec<Format::kQ2_K> : BlockQuads<Format::kQ2_K> {
  static constexpr int64_t kDOffset = 80;
  static void pack_scales(const std::byte* block, int64_t row, std::byte* region) {
    for (int64_t j = 0; j < 16; ++j) region[j * 16 + row] = block[j];
  }
  static void unpack_scales(const std::byte* region, int64_t row, std::byte* block) {
    for (int64_t j = 0; j < 16; ++j) block[j] = region[j * 16 + row];
  }
};

/// Codes, 12 bytes of sixteen 6-bit scales, d.
template <>
struct BlockCodec<Format::kQ3_K> : BlockQuads<Format::kQ3_K> {
  static constexpr int64_t kScales = 96;
  static constexpr int64_t kDOffset = 108;
  static void pack_scales(const std::byte* block, int64_t row, std::byte* region) {
    uint8_t packed[12];
    std::memcpy(packed, block + kScales, 12);
    for (int j = 0; j < 16; ++j)
      SixBitRegion::put(region + j / 8 * SixBitRegion::kBytes, j % 8, row, q3_k_scale(packed, j));
  }
  static void unpack_scales(const std::byte* region, int64_t row, std::byte* block) {
    uint8_t packed[12] = {};
    for (int j = 0; j < 16; ++j)
      set_q3_k_scale(packed, j, SixBitRegion::get(region + j / 8 * SixBitRegion::kBytes, j % 8, row));
    std::memcpy(block + kScales, packed, 12);
  }
};

/// d, 16 bits of high parts and 4 bytes of low parts of eight 6-bit scales, codes.
template <>
struct BlockCodec<Format::kIQ4_XS> : BlockQuads<Format::kIQ4_XS> {
  static constexpr int64_t kDOffset = 0;
  static void pack_scales(const std::byte* block, int64_t row, std::byte* region) {
    for (int64_t j = 0; j < 8; ++j) {
      const uint32_t low = (byte_at(block, 4 + j / 2) >> (4 * (j % 2))) & 15U;
      const uint32_t high = (byte_at(block, 2 + j / 4) >> (2 * (j % 4))) & 3U;
      SixBitRegion::put(region, j, row, low | high << 4);
    }
  }
  static void unpack_scales(const std::byte* region, int64_t row, std::byte* block) {
    for (int64_t j = 0; j < 8; ++j) {
      const uint32_t scale = SixBitRegion::get(region, j, row);
      block[4 + j / 2] |= static_cast<std::byte>((scale & 15U) << (4 * (j % 2)));
      block[2 + j / 4] |= static_cast<std::byte>((scale >> 4) << (2 * (j % 4)));
    }
  }
};

/// Codes, d.
template <>
struct BlockCodec<Format::kTQ2_0> : BlockQuads<Format::kTQ2_0> {
  static constexpr int64_t kDOffset = 64;
  static void pack_scales(const std::byte*, int64_t, std::byte*) {}
  static void unpack_scales(const std::byte*, int64_t, std::byte*) {}
};

}  // namespace halod

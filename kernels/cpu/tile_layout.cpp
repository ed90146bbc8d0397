#include "kernels/cpu/tile_layout.h"

#include <array>
#include <cstring>

#include "kernels/cpu/tile_shape.h"

namespace halod {
namespace {

// Everything below moves four codes at a time as the bytes of one 32-bit word: a quad.
using Quads = std::array<uint32_t, kQuadsPerGroup>;

constexpr uint32_t kLowNibbles = 0x0f0f0f0fU;
constexpr uint32_t kCrumbs = 0x03030303U;
constexpr uint32_t kBits = 0x01010101U;

uint32_t load_word(const std::byte* p) {
  uint32_t word;
  std::memcpy(&word, p, 4);
  return word;
}
void store_word(std::byte* p, uint32_t word) { std::memcpy(p, &word, 4); }
void or_word(std::byte* p, uint32_t bits) { store_word(p, load_word(p) | bits); }
uint32_t byte_at(const std::byte* p, int64_t i) { return std::to_integer<uint32_t>(p[i]); }

// -- file blocks: the quads of group `group` of a block, and back
// ---------------------------------------------------------

template <Format>
struct BlockCodec;

/// ggml block_q4_0: f16 d; 16 bytes, column j in the low nibble of byte j, column j + 16 in the high one.
template <>
struct BlockCodec<Format::kQ4_0> {
  static constexpr int64_t kBytes = 18;
  static void read(const std::byte* block, int64_t, Quads& quads) {
    for (size_t i = 0; i < 4; ++i) {
      const uint32_t word = load_word(block + 2 + 4 * i);
      quads[i] = word & kLowNibbles;
      quads[i + 4] = (word >> 4) & kLowNibbles;
    }
  }
  static void write(std::byte* block, int64_t, const Quads& quads) {
    for (size_t i = 0; i < 4; ++i) store_word(block + 2 + 4 * i, quads[i] | (quads[i + 4] << 4));
  }
  static void pack_scales(const std::byte*, int64_t, std::byte*) {}
  static void unpack_scales(const std::byte*, int64_t, std::byte*) {}
  static constexpr int64_t kDOffset = 0;
};

/// ggml block_q8_0: f16 d; 32 int8. The code is the value plus 128, so that it is unsigned.
template <>
struct BlockCodec<Format::kQ8_0> {
  static constexpr int64_t kBytes = 34;
  static void read(const std::byte* block, int64_t, Quads& quads) {
    for (size_t i = 0; i < 8; ++i) quads[i] = load_word(block + 2 + 4 * i) ^ 0x80808080U;
  }
  static void write(std::byte* block, int64_t, const Quads& quads) {
    for (size_t i = 0; i < 8; ++i) store_word(block + 2 + 4 * i, quads[i] ^ 0x80808080U);
  }
  static void pack_scales(const std::byte*, int64_t, std::byte*) {}
  static void unpack_scales(const std::byte*, int64_t, std::byte*) {}
  static constexpr int64_t kDOffset = 0;
};

/// The 12 bytes of 6-bit scales and mins that Q4_K and Q5_K share (ggml get_scale_min_k4), to and from one
/// row of a tile's scale region.
struct SixBitScales {
  static constexpr int64_t kKindBytes = 96;  // scales, then mins: 64 bytes of nibbles, 32 of high parts

  static void pack(const std::byte* packed, int64_t row, std::byte* region) {
    for (int64_t j = 0; j < 8; ++j) {
      uint32_t values[2];
      if (j < 4) {
        values[0] = byte_at(packed, j) & 63U;
        values[1] = byte_at(packed, j + 4) & 63U;
      } else {
        values[0] = (byte_at(packed, j + 4) & 15U) | ((byte_at(packed, j - 4) >> 6) << 4);
        values[1] = (byte_at(packed, j + 4) >> 4) | ((byte_at(packed, j) >> 6) << 4);
      }
      for (int64_t kind = 0; kind < 2; ++kind) {
        std::byte* low = region + kind * kKindBytes;
        low[(j % 4) * 16 + row] |= static_cast<std::byte>((values[kind] & 15U) << (4 * (j / 4)));
        low[64 + (j / 4) * 16 + row] |= static_cast<std::byte>((values[kind] >> 4) << (2 * (j % 4)));
      }
    }
  }

  static uint32_t value(const std::byte* region, int64_t kind, int64_t j, int64_t row) {
    const std::byte* low = region + kind * kKindBytes;
    const uint32_t nibble = (byte_at(low, (j % 4) * 16 + row) >> (4 * (j / 4))) & 15U;
    return nibble | (((byte_at(low, 64 + (j / 4) * 16 + row) >> (2 * (j % 4))) & 3U) << 4);
  }

  static void unpack(const std::byte* region, int64_t row, std::byte* packed) {
    for (int64_t j = 0; j < 4; ++j) {
      const uint32_t scale = value(region, 0, j, row), min = value(region, 1, j, row);
      const uint32_t scale4 = value(region, 0, j + 4, row), min4 = value(region, 1, j + 4, row);
      packed[j] = static_cast<std::byte>(scale | ((scale4 >> 4) << 6));
      packed[j + 4] = static_cast<std::byte>(min | ((min4 >> 4) << 6));
      packed[j + 8] = static_cast<std::byte>((scale4 & 15U) | ((min4 & 15U) << 4));
    }
  }
};

/// ggml block_q4_K: f16 d, f16 dmin, 12 bytes of scales, 128 bytes: sub-blocks 2c and 2c + 1 in the nibbles
/// of bytes 32c … 32c + 31.
template <>
struct BlockCodec<Format::kQ4_K> {
  static constexpr int64_t kBytes = 144;
  static constexpr int64_t kCodes = 16;
  static constexpr int64_t kDOffset = 0;
  static void read(const std::byte* block, int64_t group, Quads& quads) {
    const std::byte* codes = block + kCodes + 32 * (group / 2);
    for (size_t i = 0; i < 8; ++i) quads[i] = (load_word(codes + 4 * i) >> (4 * (group % 2))) & kLowNibbles;
  }
  static void write(std::byte* block, int64_t group, const Quads& quads) {
    std::byte* codes = block + kCodes + 32 * (group / 2);
    for (size_t i = 0; i < 8; ++i) or_word(codes + 4 * i, (quads[i] & kLowNibbles) << (4 * (group % 2)));
  }
  static void pack_scales(const std::byte* block, int64_t row, std::byte* region) {
    SixBitScales::pack(block + 4, row, region);
  }
  static void unpack_scales(const std::byte* region, int64_t row, std::byte* block) {
    SixBitScales::unpack(region, row, block + 4);
  }
};

/// ggml block_q5_K: as Q4_K with 32 bytes of fifth bits (bit g of byte j: column j of sub-block g) before the
/// nibbles.
template <>
struct BlockCodec<Format::kQ5_K> {
  static constexpr int64_t kBytes = 176;
  static constexpr int64_t kHigh = 16;
  static constexpr int64_t kCodes = 48;
  static constexpr int64_t kDOffset = 0;
  static void read(const std::byte* block, int64_t group, Quads& quads) {
    const std::byte* codes = block + kCodes + 32 * (group / 2);
    for (size_t i = 0; i < 8; ++i) {
      const uint32_t high = (load_word(block + kHigh + 4 * i) >> group) & kBits;
      quads[i] = ((load_word(codes + 4 * i) >> (4 * (group % 2))) & kLowNibbles) | (high << 4);
    }
  }
  static void write(std::byte* block, int64_t group, const Quads& quads) {
    std::byte* codes = block + kCodes + 32 * (group / 2);
    for (size_t i = 0; i < 8; ++i) {
      or_word(codes + 4 * i, (quads[i] & kLowNibbles) << (4 * (group % 2)));
      or_word(block + kHigh + 4 * i, ((quads[i] >> 4) & kBits) << group);
    }
  }
  static void pack_scales(const std::byte* block, int64_t row, std::byte* region) {
    SixBitScales::pack(block + 4, row, region);
  }
  static void unpack_scales(const std::byte* region, int64_t row, std::byte* block) {
    SixBitScales::unpack(region, row, block + 4);
  }
};

/// ggml block_q6_K: ql[128], qh[64], 16 int8 scales, f16 d. In each half of 128 columns, group s = 0 … 3 has
/// its low bits in nibble s / 2 of ql[32 (s % 2) …] and its high bits in crumb s of qh.
template <>
struct BlockCodec<Format::kQ6_K> {
  static constexpr int64_t kBytes = 210;
  static constexpr int64_t kHigh = 128;
  static constexpr int64_t kScales = 192;
  static constexpr int64_t kDOffset = 208;
  static void read(const std::byte* block, int64_t group, Quads& quads) {
    const int64_t half = group / 4, s = group % 4;
    const std::byte* low = block + 64 * half + 32 * (s % 2);
    const std::byte* high = block + kHigh + 32 * half;
    for (size_t i = 0; i < 8; ++i) {
      quads[i] = ((load_word(low + 4 * i) >> (4 * (s / 2))) & kLowNibbles) |
                 (((load_word(high + 4 * i) >> (2 * s)) & kCrumbs) << 4);
    }
  }
  static void write(std::byte* block, int64_t group, const Quads& quads) {
    const int64_t half = group / 4, s = group % 4;
    std::byte* low = block + 64 * half + 32 * (s % 2);
    std::byte* high = block + kHigh + 32 * half;
    for (size_t i = 0; i < 8; ++i) {
      or_word(low + 4 * i, (quads[i] & kLowNibbles) << (4 * (s / 2)));
      or_word(high + 4 * i, ((quads[i] >> 4) & kCrumbs) << (2 * s));
    }
  }
  static void pack_scales(const std::byte* block, int64_t row, std::byte* region) {
    for (int64_t j = 0; j < 16; ++j) region[j * 16 + row] = block[kScales + j];
  }
  static void unpack_scales(const std::byte* region, int64_t row, std::byte* block) {
    for (int64_t j = 0; j < 16; ++j) block[kScales + j] = region[j * 16 + row];
  }
};

// -- tiles: one row's quads of a group, and back
// -----------------------------------------------------------------------------

template <TileShape shape>
void store_group(const Quads& quads, int64_t row, std::byte* codes, std::byte* high) {
  if constexpr (shape.code_bytes_per_group == 512) {
    for (size_t i = 0; i < 8; ++i) store_word(codes + 64 * i + 4 * row, quads[i]);
    return;
  }
  for (size_t i = 0; i < 4; ++i) {
    store_word(codes + 64 * i + 4 * row, (quads[i] & kLowNibbles) | ((quads[i + 4] & kLowNibbles) << 4));
  }
  if constexpr (shape.high_bytes_per_group == 64) {
    uint32_t bits = 0;
    for (size_t i = 0; i < 8; ++i) bits |= ((quads[i] >> 4) & kBits) << i;
    store_word(high + 4 * row, bits);
  } else if constexpr (shape.high_bytes_per_group == 128) {
    for (size_t part = 0; part < 2; ++part) {
      uint32_t crumbs = 0;
      for (size_t i = 0; i < 4; ++i) crumbs |= ((quads[4 * part + i] >> 4) & kCrumbs) << (2 * i);
      store_word(high + 64 * part + 4 * row, crumbs);
    }
  }
}

template <TileShape shape>
void load_group(const std::byte* codes, const std::byte* high, int64_t row, Quads& quads) {
  if constexpr (shape.code_bytes_per_group == 512) {
    for (size_t i = 0; i < 8; ++i) quads[i] = load_word(codes + 64 * i + 4 * row);
    return;
  }
  for (size_t i = 0; i < 4; ++i) {
    const uint32_t word = load_word(codes + 64 * i + 4 * row);
    quads[i] = word & kLowNibbles;
    quads[i + 4] = (word >> 4) & kLowNibbles;
  }
  if constexpr (shape.high_bytes_per_group == 64) {
    const uint32_t bits = load_word(high + 4 * row);
    for (size_t i = 0; i < 8; ++i) quads[i] |= ((bits >> i) & kBits) << 4;
  } else if constexpr (shape.high_bytes_per_group == 128) {
    for (size_t i = 0; i < 8; ++i) {
      quads[i] |= ((load_word(high + 64 * (i / 4) + 4 * row) >> (2 * (i % 4))) & kCrumbs) << 4;
    }
  }
}

/// Bytes of d (and dmin) of one row in a file block, which lie together.
template <TileShape shape>
constexpr int64_t kDBytesPerRow = shape.d_bytes_per_block / kTileRows;

template <Format format>
void pack_tile(const std::byte* rows, int64_t row_stride, int64_t n_rows, int64_t cols, std::byte* tile) {
  using Codec = BlockCodec<format>;
  constexpr TileShape shape = kTileShape<format>;
  const int64_t n_blocks = cols / shape.block_columns;
  std::memset(tile, 0, static_cast<size_t>(find_tile_layout(format)->tile_bytes(cols)));
  for (int64_t row = 0; row < n_rows; ++row) {
    for (int64_t b = 0; b < n_blocks; ++b) {
      const std::byte* block = rows + row * row_stride + b * Codec::kBytes;
      for (int64_t j = 0; j < shape.groups_per_block(); ++j) {
        const int64_t group = b * shape.groups_per_block() + j;
        Quads quads;
        Codec::read(block, j, quads);
        store_group<shape>(quads, row, tile + group * shape.code_bytes_per_group,
                           tile + shape.high_offset(cols) + group * shape.high_bytes_per_group);
      }
      Codec::pack_scales(block, row, tile + shape.scale_offset(cols) + b * shape.scale_bytes_per_block);
      // d of the 16 rows, then dmin of the 16 rows.
      for (int64_t part = 0; part < kDBytesPerRow<shape> / 2; ++part) {
        std::memcpy(tile + shape.d_offset(cols) + b * shape.d_bytes_per_block + part * 32 + 2 * row,
                    block + Codec::kDOffset + 2 * part, 2);
      }
    }
  }
}

template <Format format>
void unpack_tile_row(const std::byte* tile, int64_t row, int64_t cols, std::byte* blocks) {
  using Codec = BlockCodec<format>;
  constexpr TileShape shape = kTileShape<format>;
  const int64_t n_blocks = cols / shape.block_columns;
  std::memset(blocks, 0, static_cast<size_t>(n_blocks * Codec::kBytes));
  for (int64_t b = 0; b < n_blocks; ++b) {
    std::byte* block = blocks + b * Codec::kBytes;
    for (int64_t j = 0; j < shape.groups_per_block(); ++j) {
      const int64_t group = b * shape.groups_per_block() + j;
      Quads quads;
      load_group<shape>(tile + group * shape.code_bytes_per_group,
                        tile + shape.high_offset(cols) + group * shape.high_bytes_per_group, row, quads);
      Codec::write(block, j, quads);
    }
    Codec::unpack_scales(tile + shape.scale_offset(cols) + b * shape.scale_bytes_per_block, row, block);
    for (int64_t part = 0; part < kDBytesPerRow<shape> / 2; ++part) {
      std::memcpy(block + Codec::kDOffset + 2 * part,
                  tile + shape.d_offset(cols) + b * shape.d_bytes_per_block + part * 32 + 2 * row, 2);
    }
  }
}

template <Format format>
constexpr TileLayout layout_of() {
  return {format, &pack_tile<format>, &unpack_tile_row<format>};
}

constexpr std::array kTileLayouts = {
    layout_of<Format::kQ4_0>(), layout_of<Format::kQ8_0>(), layout_of<Format::kQ4_K>(),
    layout_of<Format::kQ5_K>(), layout_of<Format::kQ6_K>(),
};

}  // namespace

const TileLayout* find_tile_layout(Format format) {
  for (const TileLayout& layout : kTileLayouts) {
    if (layout.format == format) return &layout;
  }
  return nullptr;
}

}  // namespace halod

#include "kernels/hip/weight_layout.h"

#include <array>
#include <cstring>

#include "base/error.h"
#include "kernels/quant/k_scales.h"
#include "kernels/quant/q4_0.h"
#include "kernels/quant/q4_k.h"
#include "kernels/quant/q5_k.h"
#include "kernels/quant/q6_k.h"
#include "kernels/quant/q8_0.h"

namespace halod::hip {
namespace {

constexpr uint32_t kLowNibbles = 0x0f0f0f0fU;
constexpr uint32_t kCrumbs = 0x03030303U;
constexpr uint32_t kBits = 0x01010101U;

uint32_t load_word(const void* p) {
  uint32_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}
void store_word(void* p, uint32_t word) { std::memcpy(p, &word, sizeof word); }
void or_word(uint8_t* p, uint32_t bits) { store_word(p, load_word(p) | bits); }

/// The eight quads of a group; as many bits of each byte count as the format has.
using Quads = std::array<uint32_t, 8>;

// -- file blocks: the quads of group j, and back into a block of zeros

template <class Block>
struct BlockCodes;

template <>
struct BlockCodes<BlockQ4_0> {
  static Quads read(const BlockQ4_0& block, int) {
    Quads quads;
    for (size_t i = 0; i < 4; ++i) {
      const uint32_t word = load_word(block.qs + 4 * i);
      quads[i] = word & kLowNibbles;
      quads[i + 4] = (word >> 4) & kLowNibbles;
    }
    return quads;
  }
  static void write(const Quads& quads, int, BlockQ4_0& block) {
    for (size_t i = 0; i < 4; ++i) store_word(block.qs + 4 * i, quads[i] | quads[i + 4] << 4);
  }
};

template <>
struct BlockCodes<BlockQ8_0> {
  static Quads read(const BlockQ8_0& block, int) {
    Quads quads;
    std::memcpy(quads.data(), block.qs, sizeof quads);
    return quads;
  }
  static void write(const Quads& quads, int, BlockQ8_0& block) {
    std::memcpy(block.qs, quads.data(), sizeof quads);
  }
};

template <>
struct BlockCodes<BlockQ4_K> {
  static Quads read(const BlockQ4_K& block, int j) {
    Quads quads;
    for (size_t i = 0; i < 8; ++i)
      quads[i] = (load_word(block.qs + j / 2 * 32 + 4 * i) >> (j % 2 * 4)) & kLowNibbles;
    return quads;
  }
  static void write(const Quads& quads, int j, BlockQ4_K& block) {
    for (size_t i = 0; i < 8; ++i) or_word(block.qs + j / 2 * 32 + 4 * i, quads[i] << (j % 2 * 4));
  }
};

template <>
struct BlockCodes<BlockQ5_K> {
  static Quads read(const BlockQ5_K& block, int j) {
    Quads quads;
    for (size_t i = 0; i < 8; ++i) {
      quads[i] = ((load_word(block.qs + j / 2 * 32 + 4 * i) >> (j % 2 * 4)) & kLowNibbles) |
                 ((load_word(block.qh + 4 * i) >> j) & kBits) << 4;
    }
    return quads;
  }
  static void write(const Quads& quads, int j, BlockQ5_K& block) {
    for (size_t i = 0; i < 8; ++i) {
      or_word(block.qs + j / 2 * 32 + 4 * i, (quads[i] & kLowNibbles) << (j % 2 * 4));
      or_word(block.qh + 4 * i, ((quads[i] >> 4) & kBits) << j);
    }
  }
};

/// Half j / 4 of the block; group r of the half has its low bits in nibble r / 2 of run r % 2, its high ones
/// in bits 2 r.
template <>
struct BlockCodes<BlockQ6_K> {
  static Quads read(const BlockQ6_K& block, int j) {
    const int half = j / 4, r = j % 4;
    Quads quads;
    for (size_t i = 0; i < 8; ++i) {
      quads[i] = ((load_word(block.ql + 64 * half + 32 * (r % 2) + 4 * i) >> (r / 2 * 4)) & kLowNibbles) |
                 ((load_word(block.qh + 32 * half + 4 * i) >> (2 * r)) & kCrumbs) << 4;
    }
    return quads;
  }
  static void write(const Quads& quads, int j, BlockQ6_K& block) {
    const int half = j / 4, r = j % 4;
    for (size_t i = 0; i < 8; ++i) {
      or_word(block.ql + 64 * half + 32 * (r % 2) + 4 * i, (quads[i] & kLowNibbles) << (r / 2 * 4));
      or_word(block.qh + 32 * half + 4 * i, ((quads[i] >> 4) & kCrumbs) << (2 * r));
    }
  }
};

// -- device rows: the quads of a group, and back

template <RowShape shape>
void store_quads(const Quads& quads, int64_t group, int cols, std::byte* row) {
  if constexpr (shape.code_bytes_per_group == 32) {
    std::memcpy(row + kPieceBytes * group, quads.data(), kPieceBytes);
    std::memcpy(row + cols / 2 + kPieceBytes * group, quads.data() + 4, kPieceBytes);
    return;
  }
  for (size_t i = 0; i < 4; ++i) {
    store_word(row + kPieceBytes * group + 4 * static_cast<int64_t>(i),
               (quads[i] & kLowNibbles) | (quads[i + 4] & kLowNibbles) << 4);
  }
  std::byte* high = row + shape.high_offset(cols) + group * shape.high_bytes_per_group;
  if constexpr (shape.high_bytes_per_group == 4) {
    uint32_t bits = 0;
    for (size_t i = 0; i < 8; ++i) bits |= ((quads[i] >> 4) & kBits) << i;
    store_word(high, bits);
  } else if constexpr (shape.high_bytes_per_group == 8) {
    uint32_t crumbs[2] = {};
    for (size_t i = 0; i < 8; ++i) crumbs[i / 4] |= ((quads[i] >> 4) & kCrumbs) << (2 * (i % 4));
    std::memcpy(high, crumbs, sizeof crumbs);
  }
}

template <RowShape shape>
Quads load_quads(const std::byte* row, int64_t group, int cols) {
  Quads quads;
  if constexpr (shape.code_bytes_per_group == 32) {
    std::memcpy(quads.data(), row + kPieceBytes * group, kPieceBytes);
    std::memcpy(quads.data() + 4, row + cols / 2 + kPieceBytes * group, kPieceBytes);
    return quads;
  }
  const std::byte* high = row + shape.high_offset(cols) + group * shape.high_bytes_per_group;
  for (size_t i = 0; i < 8; ++i) {
    const uint32_t word = load_word(row + kPieceBytes * group + 4 * static_cast<int64_t>(i % 4));
    quads[i] = (word >> (i / 4 * 4)) & kLowNibbles;
    if constexpr (shape.high_bytes_per_group == 4) quads[i] |= ((load_word(high) >> i) & kBits) << 4;
    if constexpr (shape.high_bytes_per_group == 8)
      quads[i] |= ((load_word(high + i / 4 * 4) >> (2 * (i % 4))) & kCrumbs) << 4;
  }
  return quads;
}

// -- scales

template <class Block>
concept HasHeader = requires(Block block) {
  block.dmin;
};

template <HasHeader Block>
void store_scales(const Block& block, std::byte* scales, std::byte*) {
  const KScales unpacked = unpack_k_scales(block.scales);
  uint8_t header[kPieceBytes] = {};
  std::memcpy(header, &block.d, 2);
  std::memcpy(header + 2, &block.dmin, 2);
  uint32_t high_mins = 0;
  for (int j = 0; j < kKSubBlocks; ++j) {
    header[4 + j] = static_cast<uint8_t>(unpacked.scale[j] | (unpacked.min[j] & 3) << 6);
    high_mins |= static_cast<uint32_t>(unpacked.min[j] >> 2) << (4 * j);
  }
  store_word(header + 12, high_mins);
  std::memcpy(scales, header, sizeof header);
}
template <HasHeader Block>
void load_scales(const std::byte* scales, const std::byte*, Block& block) {
  uint8_t header[kPieceBytes];
  std::memcpy(header, scales, sizeof header);
  std::memcpy(&block.d, header, 2);
  std::memcpy(&block.dmin, header + 2, 2);
  const uint32_t high_mins = load_word(header + 12);
  KScales unpacked;
  for (int j = 0; j < kKSubBlocks; ++j) {
    unpacked.scale[j] = header[4 + j] & 63;
    unpacked.min[j] = static_cast<uint8_t>(header[4 + j] >> 6 | ((high_mins >> (4 * j)) & 15U) << 2);
  }
  pack_k_scales(unpacked, block.scales);
}

void store_scales(const BlockQ6_K& block, std::byte* scales, std::byte* d) {
  std::memcpy(scales, block.scales, sizeof block.scales);
  std::memcpy(d, &block.d, 2);
}
void load_scales(const std::byte* scales, const std::byte* d, BlockQ6_K& block) {
  std::memcpy(block.scales, scales, sizeof block.scales);
  std::memcpy(&block.d, d, 2);
}

template <class Block>
void store_scales(const Block& block, std::byte*, std::byte* d) {
  std::memcpy(d, &block.d, 2);
}
template <class Block>
void load_scales(const std::byte*, const std::byte* d, Block& block) {
  std::memcpy(&block.d, d, 2);
}

// -- rows

template <Format format, class Block>
struct QuantisedRow {
  static constexpr RowShape kShape = row_shape<format>();
  static constexpr int kGroupsPerBlock = kShape.block_columns / kGroupColumns;

  static int64_t row_bytes(int64_t cols) { return kShape.row_bytes(static_cast<int>(cols)); }

  static void pack(const std::byte* blocks, int64_t n_cols, std::byte* row) {
    const int cols = static_cast<int>(n_cols);
    HALOD_ASSERT(cols % kShape.block_columns == 0);
    std::memset(row + kShape.d_offset(cols), 0,
                static_cast<size_t>(kShape.row_bytes(cols) - kShape.d_offset(cols)));
    for (int b = 0; b < cols / kShape.block_columns; ++b) {
      Block block;
      std::memcpy(&block, blocks + static_cast<size_t>(b) * sizeof block, sizeof block);
      for (int j = 0; j < kGroupsPerBlock; ++j)
        store_quads<kShape>(BlockCodes<Block>::read(block, j), b * kGroupsPerBlock + j, cols, row);
      store_scales(block, row + kShape.scale_offset(cols) + b * kShape.scale_bytes_per_block,
                   row + kShape.d_offset(cols) + b * kShape.d_bytes_per_block);
    }
  }

  static void unpack(const std::byte* row, int64_t n_cols, std::byte* blocks) {
    const int cols = static_cast<int>(n_cols);
    for (int b = 0; b < cols / kShape.block_columns; ++b) {
      Block block = {};
      for (int j = 0; j < kGroupsPerBlock; ++j)
        BlockCodes<Block>::write(load_quads<kShape>(row, b * kGroupsPerBlock + j, cols), j, block);
      load_scales(row + kShape.scale_offset(cols) + b * kShape.scale_bytes_per_block,
                  row + kShape.d_offset(cols) + b * kShape.d_bytes_per_block, block);
      std::memcpy(blocks + static_cast<size_t>(b) * sizeof block, &block, sizeof block);
    }
  }
};

template <int element_bytes>
struct FloatRow {
  static int64_t row_bytes(int64_t cols) {
    return (cols * element_bytes + kPieceBytes - 1) / kPieceBytes * kPieceBytes;
  }
  static void pack(const std::byte* blocks, int64_t cols, std::byte* row) {
    const auto n_bytes = static_cast<size_t>(cols * element_bytes);
    std::memcpy(row, blocks, n_bytes);
    std::memset(row + n_bytes, 0, static_cast<size_t>(row_bytes(cols)) - n_bytes);
  }
  static void unpack(const std::byte* row, int64_t cols, std::byte* blocks) {
    std::memcpy(blocks, row, static_cast<size_t>(cols * element_bytes));
  }
};

template <class Row>
constexpr RowLayout layout_row(Format format, bool needs_codes) {
  return {format, needs_codes, Row::row_bytes, Row::pack, Row::unpack};
}

constexpr RowLayout kLayouts[] = {
    layout_row<FloatRow<4>>(Format::kF32, false),
    layout_row<FloatRow<2>>(Format::kF16, false),
    layout_row<FloatRow<2>>(Format::kBF16, false),
    layout_row<QuantisedRow<Format::kQ4_0, BlockQ4_0>>(Format::kQ4_0, true),
    layout_row<QuantisedRow<Format::kQ8_0, BlockQ8_0>>(Format::kQ8_0, true),
    layout_row<QuantisedRow<Format::kQ4_K, BlockQ4_K>>(Format::kQ4_K, true),
    layout_row<QuantisedRow<Format::kQ5_K, BlockQ5_K>>(Format::kQ5_K, true),
    layout_row<QuantisedRow<Format::kQ6_K, BlockQ6_K>>(Format::kQ6_K, true),
};

}  // namespace

const RowLayout* find_row_layout(Format format) {
  for (const RowLayout& layout : kLayouts) {
    if (layout.format == format) return &layout;
  }
  return nullptr;
}

}  // namespace halod::hip

#include "kernels/hip/weight_layout.h"

#include <cstddef>
#include <cstring>
#include <span>

#include "base/error.h"
#include "kernels/quant/block_quads.h"
#include "kernels/quant/iq1.h"
#include "kernels/quant/iq2.h"
#include "kernels/quant/iq3.h"
#include "kernels/quant/k_scales.h"
#include "kernels/quant/q2_k.h"
#include "kernels/quant/q3_k.h"
#include "kernels/quant/q6_k.h"
#include "kernels/quant/tq.h"

namespace halod::hip {
namespace {

// -- device rows: the quads of a group, and back

/// Four quads' pairs of bits in one word, and back.
uint32_t to_crumbs(const Quads& quads, size_t first, int shift) {
  uint32_t crumbs = 0;
  for (size_t i = 0; i < 4; ++i) crumbs |= ((quads[first + i] >> shift) & kCrumbs) << (2 * i);
  return crumbs;
}
uint32_t quad_of_crumbs(const std::byte* words, size_t i) {
  return (load_word(words + i / 4 * 4) >> (2 * (i % 4))) & kCrumbs;
}

/// Bits of a code that lie among the codes; the others are in `high`.
template <RowShape shape>
constexpr int kLowBits = shape.code_bytes_per_group / 4;

template <RowShape shape>
void store_quads(const Quads& quads, int64_t group, int cols, std::byte* row) {
  if constexpr (shape.code_bytes_per_group == 32) {
    std::memcpy(row + kPieceBytes * group, quads.data(), kPieceBytes);
    std::memcpy(row + cols / 2 + kPieceBytes * group, quads.data() + 4, kPieceBytes);
    return;
  }
  std::byte* codes = row + shape.code_bytes_per_group * group;
  if constexpr (shape.code_bytes_per_group == 16) {
    for (size_t i = 0; i < 4; ++i)
      store_word(codes + 4 * i, (quads[i] & kLowNibbles) | (quads[i + 4] & kLowNibbles) << 4);
  } else {
    for (size_t part = 0; part < 2; ++part) store_word(codes + 4 * part, to_crumbs(quads, 4 * part, 0));
  }
  std::byte* high = row + shape.high_offset(cols) + group * shape.high_bytes_per_group;
  if constexpr (shape.high_bytes_per_group == 4) {
    uint32_t bits = 0;
    for (size_t i = 0; i < 8; ++i) bits |= ((quads[i] >> kLowBits<shape>)&kBits) << i;
    store_word(high, bits);
  } else if constexpr (shape.high_bytes_per_group == 8) {
    for (size_t part = 0; part < 2; ++part)
      store_word(high + 4 * part, to_crumbs(quads, 4 * part, kLowBits<shape>));
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
  const std::byte* codes = row + shape.code_bytes_per_group * group;
  const std::byte* high = row + shape.high_offset(cols) + group * shape.high_bytes_per_group;
  for (size_t i = 0; i < 8; ++i) {
    if constexpr (shape.code_bytes_per_group == 16) {
      quads[i] = (load_word(codes + 4 * (i % 4)) >> (i / 4 * 4)) & kLowNibbles;
    } else {
      quads[i] = quad_of_crumbs(codes, i);
    }
    if constexpr (shape.high_bytes_per_group == 4)
      quads[i] |= ((load_word(high) >> i) & kBits) << kLowBits<shape>;
    if constexpr (shape.high_bytes_per_group == 8) quads[i] |= quad_of_crumbs(high, i) << kLowBits<shape>;
  }
  return quads;
}

// -- scales

/// Where a file's block has what a row keeps as it is: its scales and its d, as many bytes as RowShape says.
struct FileOffsets {
  size_t scales, d;
};
template <Format format>
constexpr FileOffsets file_offsets() {
  switch (format) {
    case Format::kQ2_K:
      return {offsetof(BlockQ2_K, scales), offsetof(BlockQ2_K, d)};
    case Format::kQ3_K:
      return {offsetof(BlockQ3_K, scales), 0};
    case Format::kQ6_K:
      return {offsetof(BlockQ6_K, scales), offsetof(BlockQ6_K, d)};
    case Format::kTQ2_0:
      return {0, offsetof(BlockTq2_0, d)};
    default:
      // The block begins with them.
      return {0, static_cast<size_t>(row_shape<format>().scale_bytes_per_block)};
  }
}

/// Of a block of Q4_K or Q5_K, which both begin with d, dmin and 12 bytes of scales and mins.
void store_header(const std::byte* block, std::byte* header) {
  uint8_t packed[12];
  std::memcpy(packed, block + 4, sizeof packed);
  const KScales unpacked = unpack_k_scales(packed);
  std::memcpy(header, block, 4);
  uint32_t high_mins = 0;
  for (int j = 0; j < kKSubBlocks; ++j) {
    header[4 + j] = static_cast<std::byte>(unpacked.scale[j] | (unpacked.min[j] & 3) << 6);
    high_mins |= static_cast<uint32_t>(unpacked.min[j] >> 2) << (4 * j);
  }
  store_word(header + 12, high_mins);
}
void load_header(const std::byte* header, std::byte* block) {
  const uint32_t high_mins = load_word(header + 12);
  KScales unpacked;
  for (int j = 0; j < kKSubBlocks; ++j) {
    const auto byte = std::to_integer<uint32_t>(header[4 + j]);
    unpacked.scale[j] = byte & 63U;
    unpacked.min[j] = static_cast<uint8_t>(byte >> 6 | ((high_mins >> (4 * j)) & 15U) << 2);
  }
  uint8_t packed[12];
  pack_k_scales(unpacked, packed);
  std::memcpy(block, header, 4);
  std::memcpy(block + 4, packed, sizeof packed);
}

// -- rows

template <Format format>
struct QuantisedRow {
  using Block = BlockQuads<format>;
  static constexpr RowShape kShape = row_shape<format>();
  static constexpr FileOffsets kOffsets = file_offsets<format>();
  static constexpr int kGroupsPerBlock = kShape.block_columns / kGroupColumns;
  static constexpr bool kIsInt8 =
      format == Format::kInt8G32 || format == Format::kInt8G64 || format == Format::kInt8G128;
  static constexpr bool kHasHeader = format == Format::kQ4_K || format == Format::kQ5_K;
  static_assert(kGroupsPerBlock * (kShape.code_bytes_per_group + kShape.high_bytes_per_group) +
                    kShape.scale_bytes_per_block + kShape.d_bytes_per_block ==
                Block::kBytes);

  static int64_t row_bytes(int64_t cols) { return kShape.row_bytes(static_cast<int>(cols)); }

  /// Between the file's codes and the row's: INT8's are unsigned there and signed here.
  static void flip(Quads& quads) {
    if constexpr (kIsInt8) {
      for (uint32_t& quad : quads) quad ^= 0x80808080U;
    }
  }

  static void pack(const std::byte* blocks, int64_t n_cols, std::byte* row) {
    const int cols = static_cast<int>(n_cols);
    HALOD_ASSERT(cols % kShape.block_columns == 0);
    std::memset(row + kShape.d_offset(cols), 0,
                static_cast<size_t>(kShape.row_bytes(cols) - kShape.d_offset(cols)));
    for (int b = 0; b < cols / kShape.block_columns; ++b) {
      const std::byte* block = blocks + int64_t{b} * Block::kBytes;
      for (int j = 0; j < kGroupsPerBlock; ++j) {
        Quads quads;
        Block::read(block, j, quads);
        flip(quads);
        store_quads<kShape>(quads, b * kGroupsPerBlock + j, cols, row);
      }
      std::byte* scales = row + kShape.scale_offset(cols) + b * kShape.scale_bytes_per_block;
      if constexpr (kHasHeader) {
        store_header(block, scales);
      } else {
        std::memcpy(scales, block + kOffsets.scales, kShape.scale_bytes_per_block);
        std::memcpy(row + kShape.d_offset(cols) + b * kShape.d_bytes_per_block, block + kOffsets.d,
                    kShape.d_bytes_per_block);
      }
    }
  }

  static void unpack(const std::byte* row, int64_t n_cols, std::byte* blocks) {
    const int cols = static_cast<int>(n_cols);
    std::memset(blocks, 0, static_cast<size_t>(cols / kShape.block_columns * Block::kBytes));
    for (int b = 0; b < cols / kShape.block_columns; ++b) {
      std::byte* block = blocks + int64_t{b} * Block::kBytes;
      for (int j = 0; j < kGroupsPerBlock; ++j) {
        Quads quads = load_quads<kShape>(row, b * kGroupsPerBlock + j, cols);
        flip(quads);
        Block::write(block, j, quads);
      }
      const std::byte* scales = row + kShape.scale_offset(cols) + b * kShape.scale_bytes_per_block;
      if constexpr (kHasHeader) {
        load_header(scales, block);
      } else {
        std::memcpy(block + kOffsets.scales, scales, kShape.scale_bytes_per_block);
        std::memcpy(block + kOffsets.d, row + kShape.d_offset(cols) + b * kShape.d_bytes_per_block,
                    kShape.d_bytes_per_block);
      }
    }
  }
};

// -- rows whose groups keep the file's bytes

enum class Part : uint8_t { kCodes, kHigh, kScales, kD };

/// A field of a block: `n` times n_bytes from byte `from` of the block on, `stride` bytes apart in a part of
/// the row, from byte `to` of the block's share of it on.
struct Field {
  size_t from;
  int64_t n_bytes, n;
  Part part;
  int64_t to = 0, stride = n_bytes;
};

/// All fields of a format.
std::span<const Field> fields_of(Format format) {
  static constexpr Field kIq3Xxs[] = {{offsetof(BlockIq3Xxs, qs), 8, 8, Part::kCodes},
                                      {offsetof(BlockIq3Xxs, signs_and_s), 4, 8, Part::kHigh},
                                      {offsetof(BlockIq3Xxs, d), 2, 1, Part::kD}};
  static constexpr Field kIq3S[] = {{offsetof(BlockIq3S, qs), 8, 8, Part::kCodes},
                                    {offsetof(BlockIq3S, signs), 4, 8, Part::kHigh},
                                    {offsetof(BlockIq3S, qh), 8, 1, Part::kScales},
                                    {offsetof(BlockIq3S, scales), 4, 1, Part::kScales, 8},
                                    {offsetof(BlockIq3S, d), 2, 1, Part::kD}};
  static constexpr Field kIq2Xxs[] = {{offsetof(BlockIq2Xxs, qs), 8, 8, Part::kCodes},
                                      {offsetof(BlockIq2Xxs, d), 2, 1, Part::kD}};
  static constexpr Field kIq2Xs[] = {{offsetof(BlockIq2Xs, qs), 8, 8, Part::kCodes},
                                     {offsetof(BlockIq2Xs, scales), 8, 1, Part::kScales},
                                     {offsetof(BlockIq2Xs, d), 2, 1, Part::kD}};
  static constexpr Field kIq2S[] = {{offsetof(BlockIq2S, qs), 4, 8, Part::kCodes, 0, 8},
                                    {offsetof(BlockIq2S, signs), 4, 8, Part::kCodes, 4, 8},
                                    {offsetof(BlockIq2S, qh), 1, 8, Part::kHigh, 0, 2},
                                    {offsetof(BlockIq2S, scales), 1, 8, Part::kHigh, 1, 2},
                                    {offsetof(BlockIq2S, d), 2, 1, Part::kD}};
  static constexpr Field kIq1S[] = {{offsetof(BlockIq1S, qs), 4, 8, Part::kCodes},
                                    {offsetof(BlockIq1S, qh), 2, 8, Part::kHigh},
                                    {offsetof(BlockIq1S, d), 2, 1, Part::kD}};
  static constexpr Field kIq1M[] = {{offsetof(BlockIq1M, qs), 4, 8, Part::kCodes},
                                    {offsetof(BlockIq1M, qh), 2, 8, Part::kHigh},
                                    {offsetof(BlockIq1M, scales), 8, 1, Part::kScales}};
  static constexpr Field kTq1[] = {{offsetof(BlockTq1_0, qs), 48, 1, Part::kCodes},
                                   {offsetof(BlockTq1_0, qh), 4, 1, Part::kScales},
                                   {offsetof(BlockTq1_0, d), 2, 1, Part::kD}};
  switch (format) {
    case Format::kIQ3_XXS:
      return kIq3Xxs;
    case Format::kIQ3_S:
      return kIq3S;
    case Format::kIQ2_XXS:
      return kIq2Xxs;
    case Format::kIQ2_XS:
      return kIq2Xs;
    case Format::kIQ2_S:
      return kIq2S;
    case Format::kIQ1_S:
      return kIq1S;
    case Format::kIQ1_M:
      return kIq1M;
    case Format::kTQ1_0:
      return kTq1;
    default:
      return {};
  }
}

template <Format format>
struct FieldRow {
  static constexpr RowShape kShape = row_shape<format>();
  static constexpr int kGroups = kShape.block_columns / kGroupColumns;
  static constexpr int kBlockBytes = kGroups * (kShape.code_bytes_per_group + kShape.high_bytes_per_group) +
                                     kShape.scale_bytes_per_block + kShape.d_bytes_per_block;

  static int64_t row_bytes(int64_t cols) { return kShape.row_bytes(static_cast<int>(cols)); }

  /// Where block `block` of the row has its share of a part.
  static int64_t share(Part part, int cols, int block) {
    switch (part) {
      case Part::kCodes:
        return int64_t{block} * kGroups * kShape.code_bytes_per_group;
      case Part::kHigh:
        return kShape.high_offset(cols) + int64_t{block} * kGroups * kShape.high_bytes_per_group;
      case Part::kScales:
        return kShape.scale_offset(cols) + int64_t{block} * kShape.scale_bytes_per_block;
      case Part::kD:
        return kShape.d_offset(cols) + int64_t{block} * kShape.d_bytes_per_block;
    }
    return 0;
  }
  /// Calls copy(place in the file's blocks, place in the row, bytes) for every piece of both.
  template <class Copy>
  static void for_each_piece(int cols, const Copy& copy) {
    for (int b = 0; b < cols / kShape.block_columns; ++b) {
      for (const Field& field : fields_of(format)) {
        for (int64_t i = 0; i < field.n; ++i) {
          copy(int64_t{b} * kBlockBytes + static_cast<int64_t>(field.from) + i * field.n_bytes,
               share(field.part, cols, b) + field.to + i * field.stride, static_cast<size_t>(field.n_bytes));
        }
      }
    }
  }

  static void pack(const std::byte* blocks, int64_t n_cols, std::byte* row) {
    const int cols = static_cast<int>(n_cols);
    HALOD_ASSERT(cols % kShape.block_columns == 0);
    std::memset(row + kShape.d_offset(cols), 0,
                static_cast<size_t>(kShape.row_bytes(cols) - kShape.d_offset(cols)));
    for_each_piece(cols, [&](int64_t in_file, int64_t in_row, size_t n_bytes) {
      std::memcpy(row + in_row, blocks + in_file, n_bytes);
    });
  }
  static void unpack(const std::byte* row, int64_t n_cols, std::byte* blocks) {
    for_each_piece(static_cast<int>(n_cols), [&](int64_t in_file, int64_t in_row, size_t n_bytes) {
      std::memcpy(blocks + in_file, row + in_row, n_bytes);
    });
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

template <Format format>
constexpr RowLayout quantised() {
  return layout_row<QuantisedRow<format>>(format, true);
}

template <Format format>
constexpr RowLayout fields() {
  return layout_row<FieldRow<format>>(format, true);
}

constexpr RowLayout kLayouts[] = {
    layout_row<FloatRow<4>>(Format::kF32, false),
    layout_row<FloatRow<2>>(Format::kF16, false),
    layout_row<FloatRow<2>>(Format::kBF16, false),
    quantised<Format::kQ4_0>(),
    quantised<Format::kQ8_0>(),
    quantised<Format::kQ4_K>(),
    quantised<Format::kQ5_K>(),
    quantised<Format::kQ6_K>(),
    quantised<Format::kQ4_1>(),
    quantised<Format::kQ5_0>(),
    quantised<Format::kQ5_1>(),
    quantised<Format::kQ2_K>(),
    quantised<Format::kQ3_K>(),
    quantised<Format::kIQ4_NL>(),
    quantised<Format::kIQ4_XS>(),
    quantised<Format::kMXFP4>(),
    quantised<Format::kNVFP4>(),
    quantised<Format::kTQ2_0>(),
    fields<Format::kIQ3_XXS>(),
    fields<Format::kIQ3_S>(),
    fields<Format::kIQ2_XXS>(),
    fields<Format::kIQ2_XS>(),
    fields<Format::kIQ2_S>(),
    fields<Format::kIQ1_S>(),
    fields<Format::kIQ1_M>(),
    fields<Format::kTQ1_0>(),
    quantised<Format::kInt4G32>(),
    quantised<Format::kInt4G64>(),
    quantised<Format::kInt4G128>(),
    quantised<Format::kInt8G32>(),
    quantised<Format::kInt8G64>(),
    quantised<Format::kInt8G128>(),
};

}  // namespace

const RowLayout* find_row_layout(Format format) {
  for (const RowLayout& layout : kLayouts) {
    if (layout.format == format) return &layout;
  }
  return nullptr;
}

}  // namespace halod::hip

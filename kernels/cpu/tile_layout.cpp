#include "kernels/cpu/tile_layout.h"

#include <array>
#include <cstring>
#include <utility>

#include "kernels/cpu/block_codec.h"
#include "kernels/cpu/block_codec_k.h"
#include "kernels/cpu/tile_shape.h"

namespace halod {
namespace {

// -- one row's quads of a group, into a tile and back

/// Bits of a code that lie in the codes' region; the others are in `high`.
template <TileShape shape>
constexpr int kLowBits = static_cast<int>(shape.code_bytes_per_group / 64);

/// Four 2-bit values of each byte's quad in one word, and the other four: quads 0-3, 4-7.
uint32_t to_crumbs(const Quads& quads, size_t first, int shift) {
  uint32_t crumbs = 0;
  for (size_t i = 0; i < 4; ++i) crumbs |= ((quads[first + i] >> shift) & kCrumbs) << (2 * i);
  return crumbs;
}

template <TileShape shape>
void store_group(const Quads& quads, int64_t row, std::byte* codes, std::byte* high) {
  if constexpr (shape.code_bytes_per_group == 512) {
    for (size_t i = 0; i < 8; ++i) store_word(codes + 64 * i + 4 * row, quads[i]);
    return;
  }
  if constexpr (shape.code_bytes_per_group == 256) {
    for (size_t i = 0; i < 4; ++i) {
      store_word(codes + 64 * i + 4 * row, (quads[i] & kLowNibbles) | ((quads[i + 4] & kLowNibbles) << 4));
    }
  } else {
    for (size_t part = 0; part < 2; ++part)
      store_word(codes + 64 * part + 4 * row, to_crumbs(quads, 4 * part, 0));
  }
  if constexpr (shape.high_bytes_per_group == 64) {
    uint32_t bits = 0;
    for (size_t i = 0; i < 8; ++i) bits |= ((quads[i] >> kLowBits<shape>)&kBits) << i;
    store_word(high + 4 * row, bits);
  } else if constexpr (shape.high_bytes_per_group == 128) {
    for (size_t part = 0; part < 2; ++part)
      store_word(high + 64 * part + 4 * row, to_crumbs(quads, 4 * part, kLowBits<shape>));
  }
}

template <TileShape shape>
void load_group(const std::byte* codes, const std::byte* high, int64_t row, Quads& quads) {
  if constexpr (shape.code_bytes_per_group == 512) {
    for (size_t i = 0; i < 8; ++i) quads[i] = load_word(codes + 64 * i + 4 * row);
    return;
  }
  if constexpr (shape.code_bytes_per_group == 256) {
    for (size_t i = 0; i < 4; ++i) {
      const uint32_t word = load_word(codes + 64 * i + 4 * row);
      quads[i] = word & kLowNibbles;
      quads[i + 4] = (word >> 4) & kLowNibbles;
    }
  } else {
    for (size_t i = 0; i < 8; ++i)
      quads[i] = (load_word(codes + 64 * (i / 4) + 4 * row) >> (2 * (i % 4))) & kCrumbs;
  }
  if constexpr (shape.high_bytes_per_group == 64) {
    const uint32_t bits = load_word(high + 4 * row);
    for (size_t i = 0; i < 8; ++i) quads[i] |= ((bits >> i) & kBits) << kLowBits<shape>;
  } else if constexpr (shape.high_bytes_per_group == 128) {
    for (size_t i = 0; i < 8; ++i) {
      quads[i] |= ((load_word(high + 64 * (i / 4) + 4 * row) >> (2 * (i % 4))) & kCrumbs) << kLowBits<shape>;
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
      const TileBlock at = shape.block_at(b, cols);
      for (int64_t j = 0; j < shape.groups_per_block(); ++j) {
        Quads quads;
        Codec::read(block, j, quads);
        std::byte* codes = tile + at.groups + j * shape.group_stride();
        store_group<shape>(quads, row, codes, codes + shape.code_bytes_per_group);
      }
      Codec::pack_scales(block, row, tile + at.scales);
      // d of the 16 rows, then dmin of the 16 rows.
      for (int64_t part = 0; part < kDBytesPerRow<shape> / 2; ++part) {
        std::memcpy(tile + at.d + part * 32 + 2 * row, block + Codec::kDOffset + 2 * part, 2);
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
    const TileBlock at = shape.block_at(b, cols);
    for (int64_t j = 0; j < shape.groups_per_block(); ++j) {
      Quads quads;
      const std::byte* codes = tile + at.groups + j * shape.group_stride();
      load_group<shape>(codes, codes + shape.code_bytes_per_group, row, quads);
      Codec::write(block, j, quads);
    }
    Codec::unpack_scales(tile + at.scales, row, block);
    for (int64_t part = 0; part < kDBytesPerRow<shape> / 2; ++part) {
      std::memcpy(block + Codec::kDOffset + 2 * part, tile + at.d + part * 32 + 2 * row, 2);
    }
  }
}

/// A layout for every format that has a codec, in the order of the enumeration; no functions for the others.
template <Format format>
constexpr TileLayout layout_of() {
  if constexpr (requires { BlockCodec<format>::kBytes; }) {
    static_assert(BlockCodec<format>::kBytes * kTileRows ==
                  kTileShape<format>.bytes_per_group() * kTileShape<format>.groups_per_block());
    return {format, &pack_tile<format>, &unpack_tile_row<format>};
  } else {
    return {format, nullptr, nullptr};
  }
}

template <size_t... format>
constexpr std::array<TileLayout, sizeof...(format)> layouts_of(std::index_sequence<format...>) {
  return {layout_of<static_cast<Format>(format)>()...};
}
constexpr std::array kTileLayouts = layouts_of(std::make_index_sequence<kFormatCount>());

}  // namespace

const TileLayout* find_tile_layout(Format format) {
  const TileLayout& layout = kTileLayouts[static_cast<size_t>(format)];
  return layout.pack != nullptr ? &layout : nullptr;
}

}  // namespace halod

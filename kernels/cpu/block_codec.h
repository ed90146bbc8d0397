// How the file's blocks of 32 columns come apart into codes and scales, and back: Q4_0, Q4_1, Q5_0, Q5_1,
// Q8_0, IQ4_NL, MXFP4; and of 32, 64 or 128: INT4, INT8. For tile_layout.cpp alone. block_codec_k.h has the
// formats of 256 columns.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/quant/block_quads.h"
#include "kernels/quant/formats.h"

namespace halod {

inline uint32_t byte_at(const std::byte* p, int64_t i) { return std::to_integer<uint32_t>(p[i]); }

/// A format's BlockQuads, and its scales: pack_scales() writes one row's scales into a zeroed region of a
/// tile, unpack_scales() takes them back. kDOffset: where d (and dmin or m behind it) lies.
template <Format>
struct BlockCodec;

/// d, before everything else, is all that the block has of scales.
template <Format format>
struct PlainCodec : BlockQuads<format> {
  static constexpr int64_t kDOffset = 0;
  static void pack_scales(const std::byte*, int64_t, std::byte*) {}
  static void unpack_scales(const std::byte*, int64_t, std::byte*) {}
};

template <>
struct BlockCodec<Format::kQ4_0> : PlainCodec<Format::kQ4_0> {};
template <>
struct BlockCodec<Format::kQ4_1> : PlainCodec<Format::kQ4_1> {};
template <>
struct BlockCodec<Format::kQ5_0> : PlainCodec<Format::kQ5_0> {};
template <>
struct BlockCodec<Format::kQ5_1> : PlainCodec<Format::kQ5_1> {};
template <>
struct BlockCodec<Format::kIQ4_NL> : PlainCodec<Format::kIQ4_NL> {};
/// The scale is one byte.
template <>
struct BlockCodec<Format::kMXFP4> : PlainCodec<Format::kMXFP4> {
  static void pack_scales(const std::byte* block, int64_t row, std::byte* region) { region[row] = block[0]; }
  static void unpack_scales(const std::byte* region, int64_t row, std::byte* block) {
    block[0] = region[row];
  }
};

/// The code is the value plus 128, so that it is unsigned.
template <>
struct BlockCodec<Format::kQ8_0> : PlainCodec<Format::kQ8_0> {
  static void read(const std::byte* block, int64_t group, Quads& quads) {
    PlainCodec::read(block, group, quads);
    for (uint32_t& quad : quads) quad ^= 0x80808080U;
  }
  static void write(std::byte* block, int64_t group, Quads quads) {
    for (uint32_t& quad : quads) quad ^= 0x80808080U;
    PlainCodec::write(block, group, quads);
  }
};

/// The scale is d; the zero, a byte behind it, is the scales' region.
template <Format format>
struct IntCodec : BlockQuads<format> {
  static constexpr int64_t kDOffset = 0, kZeroOffset = 2;
  static void pack_scales(const std::byte* block, int64_t row, std::byte* region) {
    region[row] = block[kZeroOffset];
  }
  static void unpack_scales(const std::byte* region, int64_t row, std::byte* block) {
    block[kZeroOffset] = region[row];
  }
};
template <>
struct BlockCodec<Format::kInt4G32> : IntCodec<Format::kInt4G32> {};
template <>
struct BlockCodec<Format::kInt4G64> : IntCodec<Format::kInt4G64> {};
template <>
struct BlockCodec<Format::kInt4G128> : IntCodec<Format::kInt4G128> {};
template <>
struct BlockCodec<Format::kInt8G32> : IntCodec<Format::kInt8G32> {};
template <>
struct BlockCodec<Format::kInt8G64> : IntCodec<Format::kInt8G64> {};
template <>
struct BlockCodec<Format::kInt8G128> : IntCodec<Format::kInt8G128> {};

}  // namespace halod

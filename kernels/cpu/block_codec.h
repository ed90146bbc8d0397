// How the file's blocks of 32 columns come apart into codes and scales, and back: Q4_0, Q4_1, Q5_0, Q5_1,
// Q8_0, IQ4_NL, MXFP4. For tile_layout.cpp alone. block_codec_k.h has the formats of 256 columns.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/tile_shape.h"
#include "kernels/quant/formats.h"

namespace halod {

// Everything below moves four codes at a time as the bytes of one 32-bit word: a quad.
using Quads = std::array<uint32_t, kQuadsPerGroup>;

inline constexpr uint32_t kLowNibbles = 0x0f0f0f0fU;
inline constexpr uint32_t kCrumbs = 0x03030303U;
inline constexpr uint32_t kBits = 0x01010101U;

inline uint32_t load_word(const std::byte* p) {
  uint32_t word;
  std::memcpy(&word, p, 4);
  return word;
}
inline void store_word(std::byte* p, uint32_t word) { std::memcpy(p, &word, 4); }
inline void or_word(std::byte* p, uint32_t bits) { store_word(p, load_word(p) | bits); }
inline uint32_t byte_at(const std::byte* p, int64_t i) { return std::to_integer<uint32_t>(p[i]); }

/// One of a format's blocks: read() gives the quads of group `group` of it, write() puts them back into a
/// zeroed block; pack_scales() writes one row's scales into a zeroed region of a tile, unpack_scales() takes
/// them back. kDOffset: where d (and dmin or m behind it) lies, kBytes: the block's size.
template <Format>
struct BlockCodec;

/// Four bits of 32 columns in 16 bytes from kCodes on, column j in the low nibble of byte j, column j + 16 in
/// the high one; a fifth bit, where kHigh >= 0, of column j in bit j of the 32 from there.
template <int64_t bytes, int64_t codes_at, int64_t high_at = -1>
struct NibbleCodec {
  static constexpr int64_t kBytes = bytes;
  static constexpr int64_t kDOffset = 0;
  static void read(const std::byte* block, int64_t, Quads& quads) {
    for (size_t i = 0; i < 4; ++i) {
      const uint32_t word = load_word(block + codes_at + 4 * i);
      quads[i] = word & kLowNibbles;
      quads[i + 4] = (word >> 4) & kLowNibbles;
    }
    if constexpr (high_at >= 0) {
      // The product puts bit k of four to bit 8 k.
      const uint32_t high = load_word(block + high_at);
      for (size_t i = 0; i < 8; ++i) quads[i] |= ((((high >> (4 * i)) & 15U) * 0x00204081U) & kBits) << 4;
    }
  }
  static void write(std::byte* block, int64_t, const Quads& quads) {
    for (size_t i = 0; i < 4; ++i) {
      store_word(block + codes_at + 4 * i, (quads[i] & kLowNibbles) | ((quads[i + 4] & kLowNibbles) << 4));
    }
    if constexpr (high_at >= 0) {
      // And this one bit 8 k to bit 24 + k.
      uint32_t high = 0;
      for (size_t i = 0; i < 8; ++i) high |= ((((quads[i] >> 4) & kBits) * 0x01020408U) >> 24) << (4 * i);
      store_word(block + high_at, high);
    }
  }
  static void pack_scales(const std::byte*, int64_t, std::byte*) {}
  static void unpack_scales(const std::byte*, int64_t, std::byte*) {}
};

template <>
struct BlockCodec<Format::kQ4_0> : NibbleCodec<18, 2> {};
template <>
struct BlockCodec<Format::kQ4_1> : NibbleCodec<20, 4> {};
template <>
struct BlockCodec<Format::kQ5_0> : NibbleCodec<22, 6, 2> {};
template <>
struct BlockCodec<Format::kQ5_1> : NibbleCodec<24, 8, 4> {};
template <>
struct BlockCodec<Format::kIQ4_NL> : NibbleCodec<18, 2> {};
/// The scale is one byte, before the codes.
template <>
struct BlockCodec<Format::kMXFP4> : NibbleCodec<17, 1> {
  static void pack_scales(const std::byte* block, int64_t row, std::byte* region) { region[row] = block[0]; }
  static void unpack_scales(const std::byte* region, int64_t row, std::byte* block) {
    block[0] = region[row];
  }
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

}  // namespace halod

// Where a file's block keeps the codes of its columns, for whoever packs weights into another order: the
// CPU's tiles (kernels/cpu/tile_layout.h), the GPU's rows (kernels/hip/weight_layout.h). The blocks are drawn
// in the formats' own headers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/quant/formats.h"

namespace halod {

/// The codes of a group, which is 32 columns. A quad is four neighbouring columns, one in each byte of a
/// word.
using Quads = std::array<uint32_t, 8>;

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

/// One of a format's blocks: read() gives the quads of group `group` of it, write() puts them back into a
/// zeroed block. kBytes: the block's size.
template <Format>
struct BlockQuads;

/// Four bits of 32 columns in 16 bytes from codes_at on, column j in the low nibble of byte j, column j + 16
/// in the high one; a fifth bit, where high_at >= 0, of column j in bit j of the 32 from there.
template <int64_t bytes, int64_t codes_at, int64_t high_at = -1>
struct NibbleQuads {
  static constexpr int64_t kBytes = bytes;
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
};

template <>
struct BlockQuads<Format::kQ4_0> : NibbleQuads<18, 2> {};
template <>
struct BlockQuads<Format::kQ4_1> : NibbleQuads<20, 4> {};
template <>
struct BlockQuads<Format::kQ5_0> : NibbleQuads<22, 6, 2> {};
template <>
struct BlockQuads<Format::kQ5_1> : NibbleQuads<24, 8, 4> {};
template <>
struct BlockQuads<Format::kIQ4_NL> : NibbleQuads<18, 2> {};
template <>
struct BlockQuads<Format::kMXFP4> : NibbleQuads<17, 1> {};

/// Four scales; 32 bytes, of which eight have a run of 16 columns: column j of it in the low nibble of byte
/// j, column j + 8 in the high one.
template <>
struct BlockQuads<Format::kNVFP4> {
  static constexpr int64_t kBytes = 36;
  static constexpr int64_t kCodes = 4;
  static void read(const std::byte* block, int64_t group, Quads& quads) {
    for (size_t i = 0; i < 8; ++i)
      quads[i] = (load_word(codes(block, group) + offset(i)) >> shift(i)) & kLowNibbles;
  }
  static void write(std::byte* block, int64_t group, const Quads& quads) {
    for (size_t i = 0; i < 8; ++i)
      or_word(codes(block, group) + offset(i), (quads[i] & kLowNibbles) << shift(i));
  }

 private:
  template <class Byte>
  static Byte* codes(Byte* block, int64_t group) {
    return block + kCodes + 16 * group;
  }
  static size_t offset(size_t quad) { return quad / 4 * 8 + quad % 2 * 4; }
  static size_t shift(size_t quad) { return quad / 2 % 2 * 4; }
};

/// f16 d; 32 int8, as they are.
template <>
struct BlockQuads<Format::kQ8_0> {
  static constexpr int64_t kBytes = 34;
  static void read(const std::byte* block, int64_t, Quads& quads) {
    std::memcpy(quads.data(), block + 2, sizeof quads);
  }
  static void write(std::byte* block, int64_t, const Quads& quads) {
    std::memcpy(block + 2, quads.data(), sizeof quads);
  }
};

/// ggml block_q4_K: f16 d, f16 dmin, 12 bytes of scales, 128 bytes: sub-blocks 2c and 2c + 1 in the nibbles
/// of bytes 32c … 32c + 31.
template <>
struct BlockQuads<Format::kQ4_K> {
  static constexpr int64_t kBytes = 144;
  static constexpr int64_t kCodes = 16;
  static void read(const std::byte* block, int64_t group, Quads& quads) {
    const std::byte* codes = block + kCodes + 32 * (group / 2);
    for (size_t i = 0; i < 8; ++i) quads[i] = (load_word(codes + 4 * i) >> (4 * (group % 2))) & kLowNibbles;
  }
  static void write(std::byte* block, int64_t group, const Quads& quads) {
    std::byte* codes = block + kCodes + 32 * (group / 2);
    for (size_t i = 0; i < 8; ++i) or_word(codes + 4 * i, (quads[i] & kLowNibbles) << (4 * (group % 2)));
  }
};

/// ggml block_q5_K: as Q4_K with 32 bytes of fifth bits (bit g of byte j: column j of sub-block g) before the
/// nibbles.
template <>
struct BlockQuads<Format::kQ5_K> {
  static constexpr int64_t kBytes = 176;
  static constexpr int64_t kHigh = 16;
  static constexpr int64_t kCodes = 48;
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
};

/// ggml block_q6_K: ql[128], qh[64], 16 int8 scales, f16 d. In each half of 128 columns, group s = 0 … 3 has
/// its low bits in nibble s / 2 of ql[32 (s % 2) …] and its high bits in crumb s of qh.
template <>
struct BlockQuads<Format::kQ6_K> {
  static constexpr int64_t kBytes = 210;
  static constexpr int64_t kHigh = 128;
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
};

/// Two bits of 256 columns in 64 bytes from codes_at on: in each half of 128 columns, group s = 0 … 3 has
/// crumb s of 32 bytes.
template <int64_t codes_at>
struct CrumbQuads {
  static void read(const std::byte* block, int64_t group, Quads& quads) {
    const std::byte* codes = block + codes_at + 32 * (group / 4);
    for (size_t i = 0; i < 8; ++i) quads[i] = (load_word(codes + 4 * i) >> (2 * (group % 4))) & kCrumbs;
  }
  static void write(std::byte* block, int64_t group, const Quads& quads) {
    std::byte* codes = block + codes_at + 32 * (group / 4);
    for (size_t i = 0; i < 8; ++i) or_word(codes + 4 * i, (quads[i] & kCrumbs) << (2 * (group % 4)));
  }
};

/// 16 bytes of a 4-bit scale and a 4-bit min each, codes, d, dmin.
template <>
struct BlockQuads<Format::kQ2_K> : CrumbQuads<16> {
  static constexpr int64_t kBytes = 84;
};

/// 32 bytes of third bits (bit g of byte j: column j of group g), codes, 12 bytes of sixteen 6-bit scales, d.
template <>
struct BlockQuads<Format::kQ3_K> : CrumbQuads<32> {
  static constexpr int64_t kBytes = 110;
  static void read(const std::byte* block, int64_t group, Quads& quads) {
    CrumbQuads::read(block, group, quads);
    for (size_t i = 0; i < 8; ++i) quads[i] |= ((load_word(block + 4 * i) >> group) & kBits) << 2;
  }
  static void write(std::byte* block, int64_t group, const Quads& quads) {
    CrumbQuads::write(block, group, quads);
    for (size_t i = 0; i < 8; ++i) or_word(block + 4 * i, ((quads[i] >> 2) & kBits) << group);
  }
};

/// f16 d, 16 bits of high parts and 4 bytes of low parts of eight 6-bit scales, codes: each group of 32 as in
/// IQ4_NL.
template <>
struct BlockQuads<Format::kIQ4_XS> {
  static constexpr int64_t kBytes = 136;
  static constexpr int64_t kCodes = 8;
  static void read(const std::byte* block, int64_t group, Quads& quads) {
    NibbleQuads<16, 0>::read(block + kCodes + 16 * group, 0, quads);
  }
  static void write(std::byte* block, int64_t group, const Quads& quads) {
    NibbleQuads<16, 0>::write(block + kCodes + 16 * group, 0, quads);
  }
};

/// f16 scale, zero, then each 32 codes: as in IQ4_NL, or whole bytes.
template <int bits, int64_t columns>
struct IntQuads {
  static constexpr int64_t kBytes = 3 + columns * bits / 8;
  static void read(const std::byte* block, int64_t group, Quads& quads) {
    const std::byte* codes = block + 3 + 4 * bits * group;
    if constexpr (bits == 4) {
      NibbleQuads<16, 0>::read(codes, 0, quads);
    } else {
      std::memcpy(quads.data(), codes, sizeof quads);
    }
  }
  static void write(std::byte* block, int64_t group, const Quads& quads) {
    std::byte* codes = block + 3 + 4 * bits * group;
    if constexpr (bits == 4) {
      NibbleQuads<16, 0>::write(codes, 0, quads);
    } else {
      std::memcpy(codes, quads.data(), sizeof quads);
    }
  }
};
template <>
struct BlockQuads<Format::kInt4G32> : IntQuads<4, 32> {};
template <>
struct BlockQuads<Format::kInt4G64> : IntQuads<4, 64> {};
template <>
struct BlockQuads<Format::kInt4G128> : IntQuads<4, 128> {};
template <>
struct BlockQuads<Format::kInt8G32> : IntQuads<8, 32> {};
template <>
struct BlockQuads<Format::kInt8G64> : IntQuads<8, 64> {};
template <>
struct BlockQuads<Format::kInt8G128> : IntQuads<8, 128> {};

/// Codes, d.
template <>
struct BlockQuads<Format::kTQ2_0> : CrumbQuads<0> {
  static constexpr int64_t kBytes = 66;
};

}  // namespace halod

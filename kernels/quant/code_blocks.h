// What the formats of 256 weights with code books (IQ1, IQ2, IQ3) or trits (TQ) share. Each expands a block
// to
//
//   w[i] = scale[i / 16] * code[i],   code = -64 … 63
//
// exactly, which its decoder, and the matrix kernels for these formats, multiply out.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/error.h"
#include "kernels/quant/formats.h"

namespace halod {

inline constexpr int64_t kCodeBlockElements = 256;

/// Eight codes plus kCodeOffset, weight 8 * octet first.
inline void put_octet(const CodeSink& out, int64_t octet, uint64_t codes) {
  out.quads[2 * octet * out.stride] = static_cast<uint32_t>(codes);
  out.quads[(2 * octet + 1) * out.stride] = static_cast<uint32_t>(codes >> 32);
}

/// The scale of weights 32 * group … 32 * group + 31.
inline void put_scale32(const CodeSink& out, int64_t group, float scale) {
  out.scales[2 * group * out.stride] = scale;
  out.scales[(2 * group + 1) * out.stride] = scale;
}

/// Byte j is 0xff where bit j of the index is set.
inline constexpr std::array<uint64_t, 256> kSignMasks = [] {
  std::array<uint64_t, 256> masks = {};
  for (size_t bits = 0; bits < 256; ++bits) {
    for (size_t j = 0; j < 8; ++j) masks[bits] |= ((bits >> j) & 1) != 0 ? uint64_t{0xff} << (8 * j) : 0;
  }
  return masks;
}();

/// For seven stored signs and an eighth that makes the number of minus signs even: bit 7 is the others'
/// parity.
inline constexpr std::array<uint64_t, 128> kEvenSignMasks = [] {
  std::array<uint64_t, 128> masks = {};
  for (size_t bits = 0; bits < 128; ++bits)
    masks[bits] = kSignMasks[bits | static_cast<size_t>(std::popcount(bits) & 1) << 7];
  return masks;
}();

/// Eight magnitudes <= 62, minus where sign_mask's byte is set, plus kCodeOffset: 64 + m, or 64 + m - 2 m,
/// which borrows from no neighbour.
inline uint64_t signed_codes(uint64_t magnitudes, uint64_t sign_mask) {
  constexpr uint64_t kOffsets = 0x0101010101010101u * kCodeOffset;
  return magnitudes + kOffsets - ((magnitudes & sign_mask) << 1);
}

/// The decoder of a format with an expansion.
template <void (*expand)(const std::byte* block, const CodeSink& out), int64_t block_bytes>
void dequantize_code_blocks(const std::byte* blocks, int64_t n, float* out) {
  HALOD_ASSERT(n % kCodeBlockElements == 0);
  for (int64_t first = 0; first < n; first += kCodeBlockElements, blocks += block_bytes) {
    uint32_t quads[kCodeBlockElements / 4];
    float scales[kCodeBlockElements / 16];
    expand(blocks, {.quads = quads, .scales = scales, .stride = 1});
    uint8_t codes[kCodeBlockElements];
    std::memcpy(codes, quads, sizeof codes);
    for (int i = 0; i < kCodeBlockElements; ++i) {
      out[first + i] = scales[i / 16] * static_cast<float>(codes[i] - kCodeOffset);
    }
  }
}

}  // namespace halod

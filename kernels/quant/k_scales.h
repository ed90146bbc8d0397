// What Q4_K and Q5_K share: eight sub-blocks of 32 weights, each with a 6-bit scale and a 6-bit minimum
// packed into 12 bytes.
//
//   byte 0…3    scale[j]   low 6 bits, scale[j + 4] bits 4…5 in the top two      (j = 0…3)
//   byte 4…7    min[j]     low 6 bits, min[j + 4]   bits 4…5 in the top two
//   byte 8…11   scale[j + 4] bits 0…3 in the low nibble, min[j + 4] bits 0…3 in the high nibble
#pragma once

#include <cstdint>
#include <span>

namespace halod {

inline constexpr int kKSubBlocks = 8;
inline constexpr int kKSubBlockElements = 32;

struct KScales {
  uint8_t scale[kKSubBlocks];  ///< 0 … 63
  uint8_t min[kKSubBlocks];    ///< 0 … 63
};

inline KScales unpack_k_scales(const uint8_t packed[12]) {
  KScales out;
  for (int j = 0; j < 4; ++j) {
    out.scale[j] = packed[j] & 63;
    out.min[j] = packed[j + 4] & 63;
    out.scale[j + 4] = static_cast<uint8_t>((packed[j + 8] & 0x0f) | (packed[j] >> 6) << 4);
    out.min[j + 4] = static_cast<uint8_t>((packed[j + 8] >> 4) | (packed[j + 4] >> 6) << 4);
  }
  return out;
}

inline void pack_k_scales(const KScales& scales, uint8_t packed[12]) {
  for (int j = 0; j < 4; ++j) {
    packed[j] = static_cast<uint8_t>(scales.scale[j] | (scales.scale[j + 4] >> 4) << 6);
    packed[j + 4] = static_cast<uint8_t>(scales.min[j] | (scales.min[j + 4] >> 4) << 6);
    packed[j + 8] = static_cast<uint8_t>((scales.scale[j + 4] & 0x0f) | (scales.min[j + 4] & 0x0f) << 4);
  }
}

/// w = scale * level - min for a sub-block.
struct SubBlockFit {
  float scale = 0.0f;  ///< >= 0
  float min = 0.0f;    ///< >= 0
};

/// The best (least squares) of a few clipped ranges for levels 0 … max_level. Thread: any.
SubBlockFit fit_sub_block(std::span<const float> values, int max_level);

/// One super-block's encoding: w = d * scale[j] * level - dmin * min[j].
struct KBlockFit {
  uint16_t d;     ///< f16
  uint16_t dmin;  ///< f16
  KScales scales;
  uint8_t levels[kKSubBlocks * kKSubBlockElements];  ///< 0 … max_level
};

/// Encodes 256 weights with levels 0 … max_level: per sub-block the best (least squares) of a few clipped
/// ranges, then the super-block's 6-bit rounding of scales and minima, then the levels that fit these best.
/// Thread: any.
KBlockFit fit_k_block(std::span<const float, kKSubBlocks * kKSubBlockElements> values, int max_level);

}  // namespace halod

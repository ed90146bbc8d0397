// IEEE binary16 and bfloat16 to and from float in portable arithmetic: the same bits on every machine (in the
// default rounding mode), also where subnormal floats are flushed to zero. SIMD kernels use their own
// instructions.
#pragma once

#include <bit>
#include <cstdint>

namespace halod {

/// Exact, subnormals included; NaNs keep their payload and become quiet (as VCVTPH2PS does).
inline float f16_to_f32(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = half & 0x7c00u;
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fffu) << 13;
  if (exponent == 0) {
    // 0.m * 2^-14: put the fraction under the exponent of 2^-14, then take the implicit one away; no f32
    // subnormal appears.
    const float with_one = std::bit_cast<float>(magnitude + (113u << 23));
    return std::bit_cast<float>(std::bit_cast<uint32_t>(with_one - std::bit_cast<float>(113u << 23)) | sign);
  }
  if (exponent == 0x7c00u) {
    const uint32_t quiet = (half & 0x03ffu) != 0 ? 0x00400000u : 0u;
    return std::bit_cast<float>(sign | 0x7f800000u | (magnitude & 0x007fffffu) | quiet);
  }
  return std::bit_cast<float>(sign | (magnitude + ((127u - 15u) << 23)));
}

/// Round to nearest, ties to even; beyond 65504 + half a step: infinity; NaNs stay (quiet) NaNs.
inline uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x03ffu));
  if (magnitude >= 0x47800000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65536 and up
  if (magnitude < 0x38800000u) {
    // Below 2^-14: adding 0.5 leaves the value, rounded to a multiple of 2^-24, in the low mantissa bits.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  const uint32_t is_odd = (magnitude >> 13) & 1u;
  const uint32_t rounded =
      magnitude - ((127u - 15u) << 23) + 0x0fffu + is_odd;  // may carry into infinity, correctly
  return static_cast<uint16_t>(sign | (rounded >> 13));
}

/// Exact.
inline float bf16_to_f32(uint16_t value) { return std::bit_cast<float>(static_cast<uint32_t>(value) << 16); }

/// Round to nearest, ties to even; NaNs stay (quiet) NaNs.
inline uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x0040u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace halod

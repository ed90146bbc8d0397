// The vector vocabulary in plain arrays, for any CPU; the compiler vectorises what it can.
// Included by simd.h alone, which documents the vocabulary.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/quant/half.h"

namespace halod::HALOD_ISA {

struct F32x16 {
  float v[16];
};
struct I32x16 {
  int32_t v[16];
};
struct U8x64 {
  uint8_t v[64];
};

template <class Vector, class Function>
Vector each_lane(Function function) {
  Vector out;
  for (size_t i = 0; i < sizeof(out.v) / sizeof(out.v[0]); ++i) out.v[i] = function(i);
  return out;
}
inline F32x16 broadcast(float x) {
  return each_lane<F32x16>([=](size_t) { return x; });
}
inline F32x16 zero_f32() { return broadcast(0); }
inline F32x16 load(const float* p) {
  return each_lane<F32x16>([=](size_t i) { return p[i]; });
}
inline F32x16 load_f16(const uint16_t* p) {
  return each_lane<F32x16>([=](size_t i) { return f16_to_f32(p[i]); });
}
inline F32x16 load_bf16(const uint16_t* p) {
  return each_lane<F32x16>([=](size_t i) {
    const uint32_t bits = static_cast<uint32_t>(p[i]) << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
  });
}
inline void store(float* p, F32x16 x) { std::memcpy(p, x.v, sizeof(x.v)); }
inline void store_f16(uint16_t* p, F32x16 x) {
  for (size_t i = 0; i < 16; ++i) p[i] = f32_to_f16(x.v[i]);
}
inline F32x16 operator+(F32x16 a, F32x16 b) {
  return each_lane<F32x16>([&](size_t i) { return a.v[i] + b.v[i]; });
}
inline F32x16 operator-(F32x16 a, F32x16 b) {
  return each_lane<F32x16>([&](size_t i) { return a.v[i] - b.v[i]; });
}
inline F32x16 operator*(F32x16 a, F32x16 b) {
  return each_lane<F32x16>([&](size_t i) { return a.v[i] * b.v[i]; });
}
inline F32x16 operator/(F32x16 a, F32x16 b) {
  return each_lane<F32x16>([&](size_t i) { return a.v[i] / b.v[i]; });
}
inline F32x16 max(F32x16 a, F32x16 b) {
  return each_lane<F32x16>([&](size_t i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline F32x16 min(F32x16 a, F32x16 b) {
  return each_lane<F32x16>([&](size_t i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline F32x16 abs(F32x16 a) {
  return each_lane<F32x16>([&](size_t i) { return std::fabs(a.v[i]); });
}
// Two roundings where the others have one: an fma without hardware is a library call per lane.
inline F32x16 fma(F32x16 a, F32x16 b, F32x16 c) {
  return each_lane<F32x16>([&](size_t i) { return a.v[i] * b.v[i] + c.v[i]; });
}
inline F32x16 fnma(F32x16 a, F32x16 b, F32x16 c) {
  return each_lane<F32x16>([&](size_t i) { return c.v[i] - a.v[i] * b.v[i]; });
}
inline F32x16 round(F32x16 a) {
  return each_lane<F32x16>([&](size_t i) { return std::nearbyint(a.v[i]); });
}
inline F32x16 scale_by_power_of_two(F32x16 a, F32x16 n) {
  return each_lane<F32x16>([&](size_t i) { return std::ldexp(a.v[i], static_cast<int>(n.v[i])); });
}
inline float sum(F32x16 a) {
  float total = 0;
  for (float x : a.v) total += x;
  return total;
}
inline float max_lane(F32x16 a) {
  float best = a.v[0];
  for (float x : a.v) best = x > best ? x : best;
  return best;
}

inline I32x16 broadcast_i32(int32_t x) {
  return each_lane<I32x16>([=](size_t) { return x; });
}
inline I32x16 shift_left(I32x16 a, int n) {
  return each_lane<I32x16>([&](size_t i) { return a.v[i] * (1 << n); });
}
inline F32x16 to_f32(I32x16 a) {
  return each_lane<F32x16>([&](size_t i) { return static_cast<float>(a.v[i]); });
}
inline F32x16 load_u8_as_f32(const uint8_t* p) {
  return each_lane<F32x16>([=](size_t i) { return static_cast<float>(p[i]); });
}
inline F32x16 load_s8_as_f32(const int8_t* p) {
  return each_lane<F32x16>([=](size_t i) { return static_cast<float>(p[i]); });
}
inline void store_as_s8(int8_t* p, F32x16 x) {
  for (size_t i = 0; i < 16; ++i) {
    const float r = std::nearbyint(x.v[i]);
    p[i] = static_cast<int8_t>(r > 127 ? 127 : r < -128 ? -128 : r);
  }
}

inline U8x64 load_bytes(const std::byte* p) {
  U8x64 out;
  std::memcpy(out.v, p, 64);
  return out;
}
inline U8x64 operator&(U8x64 a, uint8_t mask) {
  return each_lane<U8x64>([&](size_t i) { return static_cast<uint8_t>(a.v[i] & mask); });
}
inline U8x64 operator|(U8x64 a, U8x64 b) {
  return each_lane<U8x64>([&](size_t i) { return static_cast<uint8_t>(a.v[i] | b.v[i]); });
}
template <int n>
U8x64 shift_right_then_mask(U8x64 a, uint8_t mask) {
  return each_lane<U8x64>([&](size_t i) { return static_cast<uint8_t>((a.v[i] >> n) & mask); });
}
template <int n>
U8x64 shift_left_then_mask(U8x64 a, uint8_t mask) {
  return each_lane<U8x64>([&](size_t i) { return static_cast<uint8_t>((a.v[i] << n) & mask); });
}
inline void store_bytes(uint8_t* p, U8x64 x) { std::memcpy(p, x.v, 64); }
inline U8x64 expand_crumbs(const std::byte* p) {
  return each_lane<U8x64>([=](size_t i) {
    return static_cast<uint8_t>(((std::to_integer<unsigned>(p[i % 16]) >> (2 * (i / 16))) & 3U) << 4);
  });
}
inline I32x16 dot_quad(I32x16 acc, U8x64 codes, int32_t quad) {
  int8_t x[4];
  std::memcpy(x, &quad, 4);
  for (size_t lane = 0; lane < 16; ++lane) {
    for (size_t i = 0; i < 4; ++i) acc.v[lane] += codes.v[4 * lane + i] * x[i];
  }
  return acc;
}
inline I32x16 dot_quad_wide(I32x16 acc, U8x64 codes, int32_t quad) { return dot_quad(acc, codes, quad); }

}  // namespace halod::HALOD_ISA

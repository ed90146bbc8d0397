// Sixteen lanes of f32 or i32 and 64 bytes, once per instruction set: AVX-512 (VNNI), AVX2, or plain arrays.
// Three times the same small functions side by side make this longer than 400 lines.
//
// Every source that includes this is compiled once per instruction set with HALOD_ISA naming it (avx512,
// avx2, baseline), and keeps all its code in namespace halod::HALOD_ISA, so that the linker can never mix
// them up. Only what the kernels use is here.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX512VNNI__) || defined(__AVX2__)
#include <immintrin.h>
#else
#include "kernels/quant/half.h"
#include "kernels/quant/mxfp4.h"
#endif

#ifndef HALOD_ISA
#error "compile through kernels/cpu/CMakeLists.txt, which sets HALOD_ISA"
#endif

namespace halod::HALOD_ISA {

inline constexpr int kLanes = 16;

#if defined(__AVX512VNNI__)

struct F32x16 {
  __m512 v;
};
struct I32x16 {
  __m512i v;
};
struct U8x64 {
  __m512i v;
};

inline F32x16 zero_f32() { return {_mm512_setzero_ps()}; }
inline F32x16 broadcast(float x) { return {_mm512_set1_ps(x)}; }
inline F32x16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline F32x16 load_f16(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline F32x16 load_bf16(const uint16_t* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
inline void store(float* p, F32x16 x) { _mm512_storeu_ps(p, x.v); }
inline void store_f16(uint16_t* p, F32x16 x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(x.v, _MM_FROUND_TO_NEAREST_INT));
}
inline F32x16 operator+(F32x16 a, F32x16 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F32x16 operator-(F32x16 a, F32x16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F32x16 operator*(F32x16 a, F32x16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F32x16 operator/(F32x16 a, F32x16 b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F32x16 max(F32x16 a, F32x16 b) { return {_mm512_max_ps(a.v, b.v)}; }
inline F32x16 min(F32x16 a, F32x16 b) { return {_mm512_min_ps(a.v, b.v)}; }
inline F32x16 abs(F32x16 a) { return {_mm512_abs_ps(a.v)}; }
/// a * b + c, rounded once.
inline F32x16 fma(F32x16 a, F32x16 b, F32x16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
/// c - a * b, rounded once.
inline F32x16 fnma(F32x16 a, F32x16 b, F32x16 c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
inline F32x16 round(F32x16 a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
/// a * 2^n for integral n.
inline F32x16 scale_by_power_of_two(F32x16 a, F32x16 n) { return {_mm512_scalef_ps(a.v, n.v)}; }
inline float sum(F32x16 a) { return _mm512_reduce_add_ps(a.v); }
inline float max_lane(F32x16 a) { return _mm512_reduce_max_ps(a.v); }

inline I32x16 broadcast_i32(int32_t x) { return {_mm512_set1_epi32(x)}; }
inline I32x16 shift_left(I32x16 a, int n) { return {_mm512_slli_epi32(a.v, static_cast<unsigned>(n))}; }
inline F32x16 to_f32(I32x16 a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline F32x16 load_u8_as_f32(const uint8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
inline F32x16 load_s8_as_f32(const int8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
/// Rounds to nearest even, saturates to [-128, 127], stores 16 bytes.
inline void store_as_s8(int8_t* p, F32x16 x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(x.v)));
}

/// 2^(byte - 128), as mxfp4_half_scale (kernels/quant/mxfp4.h): the larger of a normal number's bits,
/// negative for byte 0, and of a subnormal one's.
inline F32x16 load_half_e8m0(const std::byte* p) {
  const __m512i e = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
  const __m512i subnormal = _mm512_slli_epi32(
      _mm512_min_epi32(_mm512_add_epi32(e, _mm512_set1_epi32(1)), _mm512_set1_epi32(2)), 21);
  return {_mm512_castsi512_ps(_mm512_max_epi32(normal, subnormal))};
}

inline U8x64 load_bytes(const std::byte* p) { return {_mm512_loadu_si512(p)}; }
/// Byte i = table[indices[i]] for indices below 16.
inline U8x64 look_up(const uint8_t (&table)[16], U8x64 indices) {
  const __m128i row = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return {_mm512_shuffle_epi8(_mm512_broadcast_i32x4(row), indices.v)};
}
inline U8x64 operator&(U8x64 a, uint8_t mask) {
  return {_mm512_and_si512(a.v, _mm512_set1_epi8(static_cast<char>(mask)))};
}
inline U8x64 operator|(U8x64 a, U8x64 b) { return {_mm512_or_si512(a.v, b.v)}; }
/// Shifts 16-bit lanes: bits of the neighbouring byte come in, so mask the result.
template <int n>
U8x64 shift_right_then_mask(U8x64 a, uint8_t mask) {
  return U8x64{_mm512_srli_epi16(a.v, n)} & mask;
}
template <int n>
U8x64 shift_left_then_mask(U8x64 a, uint8_t mask) {
  return U8x64{_mm512_slli_epi16(a.v, n)} & mask;
}
inline void store_bytes(uint8_t* p, U8x64 x) { _mm512_storeu_si512(p, x.v); }
/// Byte 16 j + r = ((p[r] >> 2 j) & 3) << 4: the high parts of four sub-blocks' 6-bit scales.
inline U8x64 expand_crumbs(const std::byte* p) {
  const __m512i bytes = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m512i shifts = _mm512_set_epi32(6, 6, 6, 6, 4, 4, 4, 4, 2, 2, 2, 2, 0, 0, 0, 0);
  return shift_left_then_mask<4>(U8x64{_mm512_srlv_epi32(bytes, shifts)} & 3, 0x30);
}
/// acc[l] += sum of the four products of bytes 4l..4l+3 (unsigned) with the quad's bytes (signed). Codes
/// below 128.
inline I32x16 dot_quad(I32x16 acc, U8x64 codes, int32_t quad) {
  return {_mm512_dpbusd_epi32(acc.v, codes.v, _mm512_set1_epi32(quad))};
}
/// The same for codes of the full 8 bits.
inline I32x16 dot_quad_wide(I32x16 acc, U8x64 codes, int32_t quad) { return dot_quad(acc, codes, quad); }

#elif defined(__AVX2__)

struct F32x16 {
  __m256 lo, hi;
};
struct I32x16 {
  __m256i lo, hi;
};
struct U8x64 {
  __m256i lo, hi;
};

inline F32x16 zero_f32() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline F32x16 broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline F32x16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline F32x16 load_f16(const uint16_t* p) {
  const auto* v = reinterpret_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(v)), _mm256_cvtph_ps(_mm_loadu_si128(v + 1))};
}
inline F32x16 load_bf16(const uint16_t* p) {
  const auto* v = reinterpret_cast<const __m128i*>(p);
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(v)), 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(v + 1)), 16))};
}
inline void store(float* p, F32x16 x) {
  _mm256_storeu_ps(p, x.lo);
  _mm256_storeu_ps(p + 8, x.hi);
}
inline void store_f16(uint16_t* p, F32x16 x) {
  auto* v = reinterpret_cast<__m128i*>(p);
  _mm_storeu_si128(v, _mm256_cvtps_ph(x.lo, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(v + 1, _mm256_cvtps_ph(x.hi, _MM_FROUND_TO_NEAREST_INT));
}
inline F32x16 operator+(F32x16 a, F32x16 b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline F32x16 operator-(F32x16 a, F32x16 b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline F32x16 operator*(F32x16 a, F32x16 b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline F32x16 operator/(F32x16 a, F32x16 b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
inline F32x16 max(F32x16 a, F32x16 b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline F32x16 min(F32x16 a, F32x16 b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline F32x16 abs(F32x16 a) {
  const __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  return {_mm256_and_ps(a.lo, mask), _mm256_and_ps(a.hi, mask)};
}
inline F32x16 fma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline F32x16 fnma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
}
inline F32x16 round(F32x16 a) {
  constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(a.lo, kMode), _mm256_round_ps(a.hi, kMode)};
}
inline __m256 power_of_two(__m256 n) {
  // Exponents outside the normal range are clamped: 2^-126 is near enough to zero for a softmax.
  const __m256 clamped = _mm256_min_ps(_mm256_max_ps(n, _mm256_set1_ps(-126.0F)), _mm256_set1_ps(127.0F));
  const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(clamped), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}
inline F32x16 scale_by_power_of_two(F32x16 a, F32x16 n) {
  return {_mm256_mul_ps(a.lo, power_of_two(n.lo)), _mm256_mul_ps(a.hi, power_of_two(n.hi))};
}
inline float sum(F32x16 a) {
  const __m256 s = _mm256_add_ps(a.lo, a.hi);
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
inline float max_lane(F32x16 a) {
  const __m256 s = _mm256_max_ps(a.lo, a.hi);
  __m128 q = _mm_max_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  q = _mm_max_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}

inline I32x16 broadcast_i32(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline I32x16 shift_left(I32x16 a, int n) { return {_mm256_slli_epi32(a.lo, n), _mm256_slli_epi32(a.hi, n)}; }
inline F32x16 to_f32(I32x16 a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
inline F32x16 load_u8_as_f32(const uint8_t* p) {
  const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(v)),
          _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(v, 8)))};
}
inline F32x16 load_s8_as_f32(const int8_t* p) {
  const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(v)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(v, 8)))};
}
inline void store_as_s8(int8_t* p, F32x16 x) {
  const __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(x.lo), _mm256_cvtps_epi32(x.hi));
  // packs works per 128-bit half: lanes come out as lo0 hi0 lo1 hi1.
  const __m256i ordered = _mm256_permute4x64_epi64(words, _MM_SHUFFLE(3, 1, 2, 0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm_packs_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1)));
}

inline __m256 half_e8m0(__m256i e) {
  const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
  const __m256i subnormal = _mm256_slli_epi32(
      _mm256_min_epi32(_mm256_add_epi32(e, _mm256_set1_epi32(1)), _mm256_set1_epi32(2)), 21);
  return _mm256_castsi256_ps(_mm256_max_epi32(normal, subnormal));
}
inline F32x16 load_half_e8m0(const std::byte* p) {
  const __m128i e = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {half_e8m0(_mm256_cvtepu8_epi32(e)), half_e8m0(_mm256_cvtepu8_epi32(_mm_srli_si128(e, 8)))};
}

inline U8x64 load_bytes(const std::byte* p) {
  const auto* v = reinterpret_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(v), _mm256_loadu_si256(v + 1)};
}
inline U8x64 look_up(const uint8_t (&table)[16], U8x64 indices) {
  const __m256i row = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  return {_mm256_shuffle_epi8(row, indices.lo), _mm256_shuffle_epi8(row, indices.hi)};
}
inline U8x64 operator&(U8x64 a, uint8_t mask) {
  const __m256i m = _mm256_set1_epi8(static_cast<char>(mask));
  return {_mm256_and_si256(a.lo, m), _mm256_and_si256(a.hi, m)};
}
inline U8x64 operator|(U8x64 a, U8x64 b) {
  return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)};
}
template <int n>
U8x64 shift_right_then_mask(U8x64 a, uint8_t mask) {
  return U8x64{_mm256_srli_epi16(a.lo, n), _mm256_srli_epi16(a.hi, n)} & mask;
}
template <int n>
U8x64 shift_left_then_mask(U8x64 a, uint8_t mask) {
  return U8x64{_mm256_slli_epi16(a.lo, n), _mm256_slli_epi16(a.hi, n)} & mask;
}
inline void store_bytes(uint8_t* p, U8x64 x) {
  auto* v = reinterpret_cast<__m256i*>(p);
  _mm256_storeu_si256(v, x.lo);
  _mm256_storeu_si256(v + 1, x.hi);
}
inline U8x64 expand_crumbs(const std::byte* p) {
  const __m256i bytes = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m256i lo = _mm256_srlv_epi32(bytes, _mm256_set_epi32(2, 2, 2, 2, 0, 0, 0, 0));
  const __m256i hi = _mm256_srlv_epi32(bytes, _mm256_set_epi32(6, 6, 6, 6, 4, 4, 4, 4));
  return shift_left_then_mask<4>(U8x64{lo, hi} & 3, 0x30);
}
inline I32x16 dot_quad(I32x16 acc, U8x64 codes, int32_t quad) {
  // maddubs saturates at 16 bits: 2 x 127 x 127 fits, which is why full bytes take dot_quad_wide.
  const __m256i x = _mm256_set1_epi32(quad);
  const __m256i ones = _mm256_set1_epi16(1);
  return {_mm256_add_epi32(acc.lo, _mm256_madd_epi16(_mm256_maddubs_epi16(codes.lo, x), ones)),
          _mm256_add_epi32(acc.hi, _mm256_madd_epi16(_mm256_maddubs_epi16(codes.hi, x), ones))};
}
inline I32x16 dot_quad_wide(I32x16 acc, U8x64 codes, int32_t quad) {
  return dot_quad(dot_quad(acc, codes & 0x7f, quad), codes & 0x80, quad);
}

#else  // plain arrays, for any CPU; the compiler vectorises what it can

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

inline F32x16 load_half_e8m0(const std::byte* p) {
  return each_lane<F32x16>([=](size_t i) { return mxfp4_half_scale(std::to_integer<uint8_t>(p[i])); });
}

inline U8x64 load_bytes(const std::byte* p) {
  U8x64 out;
  std::memcpy(out.v, p, 64);
  return out;
}
inline U8x64 look_up(const uint8_t (&table)[16], U8x64 indices) {
  return each_lane<U8x64>([&](size_t i) { return table[indices.v[i]]; });
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

#endif

/// e^x to about 2 ulp for x <= 0 (a softmax's range) and for the moderate positive x of a sigmoid; 0 below
/// -87. Cephes' expf polynomial with a two-part ln 2.
inline F32x16 exp(F32x16 x) {
  x = max(min(x, broadcast(88.0F)), broadcast(-87.0F));
  const F32x16 n = round(x * broadcast(1.44269504F));
  F32x16 r = fnma(n, broadcast(0.693359375F), x);
  r = fnma(n, broadcast(-2.12194440e-4F), r);
  F32x16 p = broadcast(1.9875691500e-4F);
  p = fma(p, r, broadcast(1.3981999507e-3F));
  p = fma(p, r, broadcast(8.3334519073e-3F));
  p = fma(p, r, broadcast(4.1665795894e-2F));
  p = fma(p, r, broadcast(1.6666665459e-1F));
  p = fma(p, r, broadcast(5.0000001201e-1F));
  return scale_by_power_of_two(fma(p, r * r, r) + broadcast(1.0F), n);
}

}  // namespace halod::HALOD_ISA

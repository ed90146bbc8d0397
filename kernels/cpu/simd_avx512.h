// The vector vocabulary in AVX-512 (F, BW, DQ, VL, VNNI): one register per vector.
// Included by simd.h alone, which documents the vocabulary.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace halod::HALOD_ISA {

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

inline U8x64 load_bytes(const std::byte* p) { return {_mm512_loadu_si512(p)}; }
inline U8x64 operator&(U8x64 a, uint8_t mask) {
  return {_mm512_and_si512(a.v, _mm512_set1_epi8(static_cast<char>(mask)))};
}
inline U8x64 operator|(U8x64 a, U8x64 b) { return {_mm512_or_si512(a.v, b.v)}; }
template <int n>
U8x64 shift_right_then_mask(U8x64 a, uint8_t mask) {
  return U8x64{_mm512_srli_epi16(a.v, n)} & mask;
}
template <int n>
U8x64 shift_left_then_mask(U8x64 a, uint8_t mask) {
  return U8x64{_mm512_slli_epi16(a.v, n)} & mask;
}
inline void store_bytes(uint8_t* p, U8x64 x) { _mm512_storeu_si512(p, x.v); }
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

}  // namespace halod::HALOD_ISA

// Sixteen lanes of f32 or i32 and 64 bytes, once per instruction set: AVX-512 (VNNI), AVX2, or plain arrays.
//
// Every source that includes this is compiled once per instruction set with HALOD_ISA naming it (avx512,
// avx2, baseline), and keeps all its code in namespace halod::HALOD_ISA, so that the linker can never mix
// them up. Only what the kernels use is here.
//
//   F32x16  load load_f16 load_bf16 load_u8_as_f32 load_s8_as_f32 store store_f16 store_as_s8 (rounds to
//   even, saturates)
//           broadcast zero_f32 + - * / max min abs round fma (a * b + c) fnma (c - a * b), each rounded once
//           scale_by_power_of_two sum max_lane exp
//   I32x16  broadcast_i32 shift_left to_f32 dot_quad: acc[l] += the products of bytes 4l … 4l + 3 (unsigned
//   codes) with a
//           broadcast quad of signed bytes; codes below 128, or dot_quad_wide for all 8 bits
//   U8x64   load_bytes store_bytes & | shift_right_then_mask shift_left_then_mask (16-bit lanes shift, so
//   bits of the
//           neighbouring byte come in and the mask takes them out)
//           expand_crumbs: byte 16 j + r = ((p[r] >> 2 j) & 3) << 4, the high parts of four sub-blocks' 6-bit
//           scales
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#ifndef HALOD_ISA
#error "compile through kernels/cpu/CMakeLists.txt, which sets HALOD_ISA"
#endif

#if defined(__AVX512VNNI__)
#include "kernels/cpu/simd_avx512.h"
#elif defined(__AVX2__)
#include "kernels/cpu/simd_avx2.h"
#else
#include "kernels/cpu/simd_portable.h"
#endif

namespace halod::HALOD_ISA {

inline constexpr int kLanes = 16;

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

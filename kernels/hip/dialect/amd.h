// The dialect on AMD's RDNA 3 and 3.5, in compiler builtins alone, so that it is the same with ROCm's headers
// and without.
#pragma once

#if defined(HALOD_GPU_BARE)
#include "kernels/hip/dialect/amd_keywords.h"
#else
#include <hip/hip_runtime.h>
#endif

#define HALOD_DEVICE __device__ inline __attribute__((always_inline))
#define HALOD_TABLE static __constant__ const
// Not __launch_bounds__, which in ROCm's headers allows fewer threads too, and other registers with them.
#define HALOD_KERNEL(name, Args, n_threads)                                                     \
  extern "C" __global__ void __attribute__((amdgpu_flat_work_group_size(n_threads, n_threads))) \
  name(const Args args)

namespace halod::gpu {

/// What lies in device memory and not in a block's: without it every access would first find out which.
template <class T>
using GlobalPointer = T __attribute__((address_space(1)))*;
template <class T>
HALOD_DEVICE GlobalPointer<T> global(T* p) {
  return (GlobalPointer<T>)(p);
}

HALOD_DEVICE int thread() { return static_cast<int>(__builtin_amdgcn_workitem_id_x()); }
HALOD_DEVICE int lane() { return thread() % kWave; }
/// The same for all lanes of a wave; told to the compiler, so that what follows from it is computed once per
/// wave.
HALOD_DEVICE int wave() { return __builtin_amdgcn_readfirstlane(thread() / kWave); }
HALOD_DEVICE int block_x() { return static_cast<int>(__builtin_amdgcn_workgroup_id_x()); }
HALOD_DEVICE int block_y() { return static_cast<int>(__builtin_amdgcn_workgroup_id_y()); }

HALOD_DEVICE unsigned char* shared_memory() {
  extern __shared__ unsigned char halod_shared[] __attribute__((aligned(16)));
  return halod_shared;
}
HALOD_DEVICE void check_shared_memory(const void*) {}

HALOD_DEVICE void sync() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
  __builtin_amdgcn_s_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
}
/// A fence of the whole memory would also empty the CU's first-level cache, at each barrier of a loop that
/// reads weights through it.
HALOD_DEVICE void sync_shared() {
#if __clang_major__ >= 19
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup", "local");
  __builtin_amdgcn_s_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup", "local");
#else
  sync();
#endif
}
HALOD_DEVICE void sync_wave() {
  // A wave's accesses to shared memory are carried out in order; only the compiler must be kept from changing
  // it.
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront");
  __builtin_amdgcn_wave_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront");
}

/// Through shared memory's crossbar (ds_bpermute): tens of cycles, any lane.
template <class T>
HALOD_DEVICE T shfl(T value, int source_lane) {
  static_assert(sizeof(T) == 4);
  return __builtin_bit_cast(T, __builtin_amdgcn_ds_bpermute(source_lane * 4, __builtin_bit_cast(int, value)));
}

/// In the vector unit (DPP, permlanex16), a few cycles. HALOD_GPU_SHFL_LDS takes the crossbar instead: for
/// emulators, whose DPP is incomplete. mask: 1, 2, 4, 8 or 16, known when compiled.
template <class T>
HALOD_DEVICE T shfl_xor(T value, int mask) {
  static_assert(sizeof(T) == 4);
#if defined(HALOD_GPU_SHFL_LDS)
  return shfl(value, lane() ^ mask);
#else
  const int in = __builtin_bit_cast(int, value);
  constexpr int kAllRows = 0xf, kAllBanks = 0xf;
  int out = 0;
  switch (mask) {
    case 1:  // quad_perm 1 0 3 2
      out = __builtin_amdgcn_update_dpp(0, in, 0xB1, kAllRows, kAllBanks, true);
      break;
    case 2:  // quad_perm 2 3 0 1
      out = __builtin_amdgcn_update_dpp(0, in, 0x4E, kAllRows, kAllBanks, true);
      break;
    case 4:  // row_xmask 4
      out = __builtin_amdgcn_update_dpp(0, in, 0x164, kAllRows, kAllBanks, true);
      break;
    case 8:  // row_xmask 8
      out = __builtin_amdgcn_update_dpp(0, in, 0x168, kAllRows, kAllBanks, true);
      break;
    default:  // lane i of the other half of 16, for each i
      out = __builtin_amdgcn_permlanex16(in, in, 0x76543210, static_cast<int>(0xfedcba98U), false, false);
  }
  return __builtin_bit_cast(T, out);
#endif
}

HALOD_DEVICE void schedule_barrier() { __builtin_amdgcn_sched_barrier(0); }
HALOD_DEVICE int uniform(int value) { return __builtin_amdgcn_readfirstlane(value); }
HALOD_DEVICE int opaque(int value) {
  asm volatile("" : "+v"(value));
  return value;
}
HALOD_DEVICE int popcount(uint32_t bits) { return __builtin_popcount(bits); }
HALOD_DEVICE uint32_t ballot(bool predicate) { return __builtin_amdgcn_ballot_w32(predicate); }

HALOD_DEVICE uint32_t permute_bytes(uint32_t high, uint32_t low, uint32_t selectors) {
  return __builtin_amdgcn_perm(high, low, selectors);
}
HALOD_DEVICE int dot4_ss(uint32_t a, uint32_t b, int sum) {
  return __builtin_amdgcn_sudot4(true, static_cast<int>(a), true, static_cast<int>(b), sum, false);
}

typedef uint32_t Words4 __attribute__((ext_vector_type(4)));
typedef uint32_t Words2 __attribute__((ext_vector_type(2)));
typedef float Floats4 __attribute__((ext_vector_type(4), aligned(4)));

HALOD_DEVICE Piece load_piece(const void* p) {
  return __builtin_bit_cast(Piece, *global(static_cast<const Words4*>(p)));
}
HALOD_DEVICE void load_words2(const void* p, uint32_t (&words)[2]) {
  const Words2 loaded = *global(static_cast<const Words2*>(p));
  words[0] = loaded.x;
  words[1] = loaded.y;
}
HALOD_DEVICE uint32_t load_word(const unsigned char* p) {
  return *global(reinterpret_cast<const uint32_t*>(p));
}
HALOD_DEVICE uint32_t load_half_word(const unsigned char* p) {
  return *global(reinterpret_cast<const uint16_t*>(p));
}
HALOD_DEVICE float load_float(const float* p) { return *global(p); }
HALOD_DEVICE void load_floats4(const float* p, float (&values)[4]) {
  const Floats4 loaded = *(GlobalPointer<const Floats4>)(p);
  values[0] = loaded.x;
  values[1] = loaded.y;
  values[2] = loaded.z;
  values[3] = loaded.w;
}

HALOD_DEVICE float half_to_float(uint16_t half) {
  return static_cast<float>(__builtin_bit_cast(_Float16, half));
}
HALOD_DEVICE uint16_t float_to_half(float value) {
  return __builtin_bit_cast(uint16_t, static_cast<_Float16>(value));
}

HALOD_DEVICE float as_float(uint32_t bits) { return __builtin_bit_cast(float, bits); }
HALOD_DEVICE uint32_t as_bits(float value) { return __builtin_bit_cast(uint32_t, value); }
HALOD_DEVICE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
HALOD_DEVICE float exp(float x) { return __builtin_amdgcn_exp2f(x * 1.44269504088896341F); }
HALOD_DEVICE float log(float x) { return __builtin_amdgcn_logf(x) * 0.693147180559945309F; }
HALOD_DEVICE float sqrt(float x) { return __builtin_sqrtf(x); }
HALOD_DEVICE float round(float x) { return __builtin_rintf(x); }
HALOD_DEVICE float abs(float x) { return __builtin_fabsf(x); }
HALOD_DEVICE float max(float a, float b) { return __builtin_fmaxf(a, b); }
HALOD_DEVICE float min(float a, float b) { return __builtin_fminf(a, b); }

HALOD_DEVICE uint32_t atomic_add(uint32_t* p, uint32_t value) {
  return __hip_atomic_fetch_add(p, value, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}
HALOD_DEVICE void fence_release() { __builtin_amdgcn_fence(__ATOMIC_RELEASE, "agent"); }
HALOD_DEVICE void fence_acquire() { __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "agent"); }

typedef _Float16 Half16 __attribute__((ext_vector_type(16)));
typedef short Short16 __attribute__((ext_vector_type(16)));
typedef int Int4 __attribute__((ext_vector_type(4)));
typedef int Int8 __attribute__((ext_vector_type(8)));
typedef float Float8 __attribute__((ext_vector_type(8)));

HALOD_DEVICE FloatAccumulator wmma_f16(const HalfFragment& a, const HalfFragment& b,
                                       const FloatAccumulator& c) {
  return __builtin_bit_cast(
      FloatAccumulator,
      __builtin_amdgcn_wmma_f32_16x16x16_f16_w32(__builtin_bit_cast(Half16, a), __builtin_bit_cast(Half16, b),
                                                 __builtin_bit_cast(Float8, c)));
}
HALOD_DEVICE FloatAccumulator wmma_bf16(const HalfFragment& a, const HalfFragment& b,
                                        const FloatAccumulator& c) {
  return __builtin_bit_cast(
      FloatAccumulator,
      __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32(
          __builtin_bit_cast(Short16, a), __builtin_bit_cast(Short16, b), __builtin_bit_cast(Float8, c)));
}
template <bool a_signed, bool b_signed>
HALOD_DEVICE IntAccumulator wmma_iu8(const ByteFragment& a, const ByteFragment& b, const IntAccumulator& c) {
  return __builtin_bit_cast(IntAccumulator,
                            __builtin_amdgcn_wmma_i32_16x16x16_iu8_w32(a_signed, __builtin_bit_cast(Int4, a),
                                                                       b_signed, __builtin_bit_cast(Int4, b),
                                                                       __builtin_bit_cast(Int8, c), false));
}

}  // namespace halod::gpu

// The dialect on CUDA: not for serving, but to run the same kernels on a test GPU.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define HALOD_DEVICE __device__ __forceinline__
// Not __constant__: lanes read different places of it, which that memory serves one after the other.
#define HALOD_TABLE static __device__ const
#define HALOD_KERNEL(name, Args, n_threads) \
  extern "C" __global__ void __launch_bounds__(n_threads) name(const __grid_constant__ Args args)

namespace halod::gpu {

inline constexpr unsigned kAllLanes = 0xffffffffU;

HALOD_DEVICE int thread() { return static_cast<int>(threadIdx.x); }
HALOD_DEVICE int lane() { return thread() % kWave; }
HALOD_DEVICE int wave() { return thread() / kWave; }
HALOD_DEVICE int block_x() { return static_cast<int>(blockIdx.x); }
HALOD_DEVICE int block_y() { return static_cast<int>(blockIdx.y); }

HALOD_DEVICE unsigned char* shared_memory() {
  extern __shared__ __align__(16) unsigned char halod_shared[];
  return halod_shared;
}
HALOD_DEVICE void check_shared_memory(const void*) {}
HALOD_DEVICE void sync() { __syncthreads(); }
HALOD_DEVICE void sync_shared() { __syncthreads(); }
HALOD_DEVICE void sync_wave() { __syncwarp(); }

template <class T>
HALOD_DEVICE T shfl(T value, int source_lane) {
  return __shfl_sync(kAllLanes, value, source_lane);
}
template <class T>
HALOD_DEVICE T shfl_xor(T value, int mask) {
  return __shfl_xor_sync(kAllLanes, value, mask);
}
HALOD_DEVICE void schedule_barrier() {}
HALOD_DEVICE int uniform(int value) { return value; }
HALOD_DEVICE int opaque(int value) {
  asm volatile("" : "+r"(value));
  return value;
}
HALOD_DEVICE int popcount(uint32_t bits) { return __popc(bits); }
HALOD_DEVICE uint32_t ballot(bool predicate) { return __ballot_sync(kAllLanes, predicate); }

/// CUDA's selectors are the nibbles of a half-word.
HALOD_DEVICE uint32_t permute_bytes(uint32_t high, uint32_t low, uint32_t selectors) {
  const uint32_t pairs = selectors | selectors >> 4;
  return __byte_perm(low, high, (pairs & 0xffU) | ((pairs >> 8) & 0xff00U));
}
HALOD_DEVICE int dot4_ss(uint32_t a, uint32_t b, int sum) {
  return __dp4a(static_cast<int>(a), static_cast<int>(b), sum);
}

HALOD_DEVICE Piece load_piece(const void* p) {
  const uint4 loaded = *static_cast<const uint4*>(p);
  return {{loaded.x, loaded.y, loaded.z, loaded.w}};
}
HALOD_DEVICE void load_words2(const void* p, uint32_t (&words)[2]) {
  const uint2 loaded = *static_cast<const uint2*>(p);
  words[0] = loaded.x;
  words[1] = loaded.y;
}
HALOD_DEVICE uint32_t load_word(const unsigned char* p) { return *reinterpret_cast<const uint32_t*>(p); }
HALOD_DEVICE uint32_t load_half_word(const unsigned char* p) { return *reinterpret_cast<const uint16_t*>(p); }
HALOD_DEVICE float load_float(const float* p) { return *p; }
HALOD_DEVICE void load_floats4(const float* p, float (&values)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) values[i] = p[i];
}

HALOD_DEVICE float half_to_float(uint16_t half) { return __half2float(__ushort_as_half(half)); }
HALOD_DEVICE uint16_t float_to_half(float value) { return __half_as_ushort(__float2half_rn(value)); }
HALOD_DEVICE float as_float(uint32_t bits) { return __uint_as_float(bits); }
HALOD_DEVICE uint32_t as_bits(float value) { return __float_as_uint(value); }
HALOD_DEVICE float fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
HALOD_DEVICE float exp(float x) { return ::expf(x); }
HALOD_DEVICE float log(float x) { return ::logf(x); }
HALOD_DEVICE float sqrt(float x) { return ::sqrtf(x); }
HALOD_DEVICE float round(float x) { return ::rintf(x); }
HALOD_DEVICE float abs(float x) { return ::fabsf(x); }
HALOD_DEVICE float max(float a, float b) { return ::fmaxf(a, b); }
HALOD_DEVICE float min(float a, float b) { return ::fminf(a, b); }

HALOD_DEVICE uint32_t atomic_add(uint32_t* p, uint32_t value) { return atomicAdd(p, value); }
HALOD_DEVICE void fence_release() { __threadfence(); }
HALOD_DEVICE void fence_acquire() { __threadfence(); }

// The fragments by shuffles: slow and right. Tensor cores hold theirs in another order.

template <class Value>
HALOD_DEVICE FloatAccumulator wmma_by_shuffles(const HalfFragment& a, const HalfFragment& b,
                                               FloatAccumulator c, const Value& value) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
#pragma unroll
    for (int k = 0; k < 16; ++k) {
      const auto from_a = shfl(static_cast<uint32_t>(a.values[k]), 2 * i + lane() / 16);
      c.values[i] = fma(value(static_cast<uint16_t>(from_a)), value(b.values[k]), c.values[i]);
    }
  }
  return c;
}
HALOD_DEVICE FloatAccumulator wmma_f16(const HalfFragment& a, const HalfFragment& b,
                                       const FloatAccumulator& c) {
  return wmma_by_shuffles(a, b, c, [](uint16_t half) { return half_to_float(half); });
}
HALOD_DEVICE FloatAccumulator wmma_bf16(const HalfFragment& a, const HalfFragment& b,
                                        const FloatAccumulator& c) {
  return wmma_by_shuffles(a, b, c, [](uint16_t half) { return as_float(static_cast<uint32_t>(half) << 16); });
}
template <bool is_signed>
HALOD_DEVICE int byte_value(uint32_t word, int i) {
  const uint32_t byte = (word >> (8 * i)) & 255U;
  return is_signed ? static_cast<int>(static_cast<int8_t>(byte)) : static_cast<int>(byte);
}
template <bool a_signed, bool b_signed>
HALOD_DEVICE IntAccumulator wmma_iu8(const ByteFragment& a, const ByteFragment& b, IntAccumulator c) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
#pragma unroll
    for (int k = 0; k < 16; ++k) {
      const uint32_t from_a = shfl(a.words[k / 4], 2 * i + lane() / 16);
      c.values[i] += byte_value<a_signed>(from_a, k % 4) * byte_value<b_signed>(b.words[k / 4], k % 4);
    }
  }
  return c;
}

}  // namespace halod::gpu

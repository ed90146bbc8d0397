// The language that kernels are written in: one source, four targets.
//
//   amd, bare   clang -x hip -nogpuinc -nogpulib -DHALOD_GPU_BARE: needs nothing of ROCm (amd_keywords.h)
//   amd         amdclang or hipcc with ROCm's headers
//   cuda        nvcc: to run the same kernels on a test GPU (cuda.h)
//   lanes       any C++ compiler with -DHALOD_GPU_LANES: a fiber per lane on the CPU (lanes.h)
//
// What a kernel may use, in namespace halod::gpu:
//
// clang-format off
//   HALOD_KERNEL(name, Args, n_threads) { … }   a kernel; it takes one plain struct `args` by value
//   HALOD_DEVICE                                before every function that kernels call
//   HALOD_TABLE                                 before a constant array of device memory, with its initialiser
//   thread() lane() wave() block_x() block_y()  places; a wave has kWave lanes, a block n_threads threads
//   shared_memory()                             the block's, of the size that the launch gave; poisoned on lanes
//   sync() sync_wave()                          all threads of the block, of the wave, have written before any
//                                               goes on; sync_shared(): have written shared memory
//   shfl(v, l) shfl_xor(v, m) ballot(p)         collectives of a whole wave: all 32 lanes, at the same place
//   uniform(v) popcount(b)                      a value that is the same in all lanes; the bits that are set
//   opaque(v)                                   v, which the compiler knows nothing of: what follows from it is
//                                               computed here, not early and then kept in registers
//   schedule_barrier()                          the compiler moves nothing across: bounds the registers of a
//                                               long run of loads and products
//   dot4_ss(a, b, c)                            c + the four products of the bytes of a and b, signed
//   permute_bytes(high, low, s)                 byte i is that of low (0 … 3) or high (4 … 7) which byte i of s
//                                               names
//   load_piece(p) load_words2(p)                16 and 8 bytes of global memory by one load; aligned to so many
//   load_word(p) load_half_word(p)              4 and 2 bytes of it
//   load_float(p) load_floats4(p)               1 and 4 floats of it, aligned to one
//   half_to_float float_to_half bfloat_to_float
//   fma exp log sqrt round abs min max as_float as_bits    of f32; fma is never formed from a * b + c by itself
//   atomic_add(p, v) fence_release() fence_acquire()   between the blocks of a launch
//   wmma_f16 wmma_bf16 wmma_iu8                 16 x 16 x 16 products of a whole wave (fragments.h)
// clang-format on
//
// Rules: no early return before a collective or a barrier that others reach; no blockDim and gridDim (pass
// them in args: the bare target then needs no hidden arguments); all shared memory from shared_memory().
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/hip/dialect/fragments.h"

#if defined(HALOD_GPU_LANES)
#include "kernels/hip/dialect/lanes.h"
#elif defined(__CUDACC__)
#include "kernels/hip/dialect/cuda.h"
#else
#include "kernels/hip/dialect/amd.h"
#endif

namespace halod::gpu {

HALOD_DEVICE float infinity() { return as_float(0x7f800000U); }

/// Hands out the block's shared memory piece by piece; every thread asks for the same pieces in the same
/// order.
class SharedArena {
 public:
  HALOD_DEVICE SharedArena() : next_(shared_memory()) {}
  /// n values, aligned to 16 bytes.
  template <class T>
  HALOD_DEVICE T* take(int n) {
    T* taken = reinterpret_cast<T*>(next_);
    next_ += (static_cast<size_t>(n) * sizeof(T) + 15) / 16 * 16;
    check_shared_memory(next_);
    return taken;
  }

 private:
  unsigned char* next_;
};

/// Sum over the wave, the same bits in every lane.
HALOD_DEVICE float wave_sum(float value) {
#pragma unroll
  for (int mask = kWave / 2; mask > 0; mask /= 2) value += shfl_xor(value, mask);
  return value;
}

HALOD_DEVICE float wave_max(float value) {
#pragma unroll
  for (int mask = kWave / 2; mask > 0; mask /= 2) value = max(value, shfl_xor(value, mask));
  return value;
}

/// Whether this block is the last of n to come here; all of its threads get the same answer. What the n
/// blocks wrote to global memory before is then visible to the last one. `counter` is 0 before the launch and
/// again after it; `flag` is one word of shared memory. Every thread of the block must call it.
HALOD_DEVICE bool arrive_last(uint32_t* counter, uint32_t n, uint32_t* flag) {
  fence_release();
  sync();  // this block's stores are done before its arrival is counted
  if (thread() == 0) {
    const uint32_t is_last = atomic_add(counter, 1U) == n - 1 ? 1U : 0U;
    if (is_last) *counter = 0;  // nobody else comes any more in this launch
    *flag = is_last;
  }
  sync();  // thread 0's flag, before all others read it
  const bool last = *flag != 0;
  fence_acquire();
  return last;
}

}  // namespace halod::gpu

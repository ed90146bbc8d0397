// Kernels that try one thing of the dialect each: run on the lanes, and compiled for the GPUs to look at
// their instructions.
#pragma once

#include <cstdint>

// clang-format off
#define HALOD_DIALECT_KERNELS(X)                                                 \
  X(multiply_f16,  HalfProductArgs, kDialect, 32, 96, 0, "v_wmma_f32_16x16x16_f16")   \
  X(multiply_bf16, HalfProductArgs, kDialect, 32, 96, 0, "v_wmma_f32_16x16x16_bf16")  \
  X(multiply_iu8,  ByteProductArgs, kDialect, 32, 96, 0, "v_wmma_i32_16x16x16_iu8")   \
  X(permute,       PermuteArgs,     kDialect, 32, 24, 0, "v_perm_b32")                    \
  X(meet,          MeetArgs,        kDialect, 64, 24, 0, "v_permlanex16_b32 v_add_f32_dpp s_barrier")
// clang-format on

namespace halod::test {

/// c[16][16] = a[16][k] b[16][k]^T, f16 or bf16.
struct HalfProductArgs {
  const uint16_t* a;
  const uint16_t* b;
  float* c;
  int32_t k;
};
/// The same of unsigned a and signed b.
struct ByteProductArgs {
  const uint8_t* a;
  const int8_t* b;
  int32_t* c;
  int32_t k;
};
/// out[lane] = permute_bytes(high[lane], low[lane], selectors[lane]).
struct PermuteArgs {
  const uint32_t* high;
  const uint32_t* low;
  const uint32_t* selectors;
  uint32_t* out;
};
/// out[thread] of every block: the sum of 2^bit over its wave's lanes with in[lane] set, the sum of its
/// wave's in, and in of the next thread of the block. total: sum of all in of all blocks, by the last block.
struct MeetArgs {
  const uint32_t* in;
  uint32_t* ballots;
  uint32_t* sums;
  uint32_t* neighbours;
  uint32_t* counter;
  uint32_t* block_sums;
  uint32_t* total;
  int32_t n_blocks;
};

}  // namespace halod::test

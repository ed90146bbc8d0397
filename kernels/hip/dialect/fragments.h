// The operands of the 16 x 16 x 16 matrix products, as RDNA 3's wave32 instructions hold them.
//
//   A   lane l holds row l % 16, its 16 values of k. Lanes 16 … 31 hold the same as lanes 0 … 15.
//   B   lane l holds column l % 16, likewise.
//   C   element i of lane l is row 2 i + l / 16, column l % 16.
#pragma once

#include <cstdint>

namespace halod::gpu {

inline constexpr int kWave = 32;

struct alignas(16) Piece {
  uint32_t words[4];
};

/// 16 values of f16 or bf16.
struct alignas(32) HalfFragment {
  uint16_t values[16];
};
/// 16 bytes; byte k in bits 8 (k % 4) of word k / 4.
struct alignas(16) ByteFragment {
  uint32_t words[4];
};
struct alignas(32) FloatAccumulator {
  float values[8];
};
struct alignas(32) IntAccumulator {
  int32_t values[8];
};

}  // namespace halod::gpu

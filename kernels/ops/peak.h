// What an instruction set can do at most, measured: dot products and multiply-adds of operands in registers,
// or in the first-level cache where there are few, with nothing between them, and reading. halo-bench states
// matrix products as a percentage of these.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/ops/variant.h"

namespace halod {

struct PeakArgs {
  int64_t n_rounds = 0;
  float* result = nullptr;  ///< [16], so that there is one
};
/// Multiplications of one round, of either kind.
inline constexpr int64_t kIntegerProductsPerRound = 8 * 8 * 64;
inline constexpr int64_t kFloatProductsPerRound = 8 * 8 * 16;

struct ReadPeakArgs {
  const float* values = nullptr;
  int64_t n_values = 0;     ///< a multiple of 64
  float* result = nullptr;  ///< [16], so that there is one
};

/// Reads everything once, in order, by the widest registers: with narrow ones a core has fewer cache lines on
/// their way at once (Emerald Rapids reads half as fast by 16 bytes as by 64). No reference row. Thread: any.
std::span<const KernelVariant<ReadPeakArgs>> read_peak_variants();
/// 8-bit integer dot products, as matmuls on codes use them; no reference row. Thread: any.
std::span<const KernelVariant<PeakArgs>> integer_peak_variants();
/// f32 multiply-adds, as matmuls on F32, F16 and BF16 weights use them.
std::span<const KernelVariant<PeakArgs>> float_peak_variants();

}  // namespace halod

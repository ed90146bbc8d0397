// What happens to activations between two products, shared by the kernels at whose ends it happens.
#pragma once

#include "kernels/hip/args.h"
#include "kernels/hip/dialect/gpu.h"

namespace halod::hip {

/// What the down-projection of a feed-forward layer reads.
HALOD_DEVICE float silu_times(float gate, float up) { return gate / (1.0F + gpu::exp(-gate)) * up; }

/// A whole wave rounds 32 consecutive values, one per lane, to 8 bits, as kernels/ops/activations.h says.
HALOD_DEVICE void quantise_group(float value, int8_t* codes, ActivationGroup* group) {
  const bool has_nan = gpu::ballot(value != value) != 0;
  const float largest = gpu::wave_max(gpu::abs(value));
  const float inverse = largest > 0.0F ? 127.0F / largest : 0.0F;
  const float code = gpu::min(gpu::max(gpu::round(value * inverse), -127.0F), 127.0F);
  codes[gpu::lane()] = static_cast<int8_t>(static_cast<int>(code));
  float sum = code;  // at most 16 x 127: exact
#pragma unroll
  for (int mask = 8; mask > 0; mask /= 2) sum += gpu::shfl_xor(sum, mask);
  const int first = static_cast<int>(sum), second = static_cast<int>(gpu::shfl_xor(sum, 16));
  if (gpu::lane() == 0) {
    // A NaN would be rounded away; in the scale it spreads to every result that it should.
    group->scale = has_nan ? gpu::as_float(0x7fc00000U) : largest / 127.0F;
    group->sums = (first & 0xffff) | second << 16;
  }
}

}  // namespace halod::hip

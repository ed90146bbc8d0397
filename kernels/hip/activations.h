// What happens to activations between two products, shared by the kernels at whose ends it happens.
#pragma once

#include "kernels/hip/args.h"
#include "kernels/hip/dialect/gpu.h"

namespace halod::hip {

HALOD_DEVICE float sigmoid(float x) { return 1.0F / (1.0F + gpu::exp(-x)); }

/// What the down-projection of a feed-forward layer reads. Sources: kernels/ops/elementwise.h.
HALOD_DEVICE float activate(GatedActivation activation, float gate, float up) {
  if (activation == GatedActivation::kSwiglu) return gate / (1.0F + gpu::exp(-gate)) * up;
  if (activation == GatedActivation::kSquaredRelu) {
    const float kept = gate < 0.0F ? 0.0F : gate;  // a NaN too
    return kept * kept;
  }
  constexpr float kAlpha = 1.702F, kLimit = 7.0F;
  // Compared, because the hardware's minimum would lose a NaN.
  gate = gate > kLimit ? kLimit : gate;
  up = up > kLimit ? kLimit : up < -kLimit ? -kLimit : up;
  return gate / (1.0F + gpu::exp(-kAlpha * gate)) * (up + 1.0F);
}

/// The biases of gate and up of one column, where there are any; `first` is the expert's first.
HALOD_DEVICE void add_biases(const float* const (&biases)[2], size_t first, int column, int width,
                             float& gate, float& up) {
  if (biases[0] == nullptr || column >= width) return;
  gate += biases[0][first + static_cast<size_t>(column)];
  up += biases[1][first + static_cast<size_t>(column)];
}

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

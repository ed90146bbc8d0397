#include "kernels/quant/k_scales.h"

#include <algorithm>
#include <cmath>

#include "kernels/quant/half.h"

namespace halod {
namespace {

struct SubBlockFit {
  float scale = 0.0f;  // >= 0
  float min = 0.0f;    // >= 0, subtracted
};

// Clipping the tails of a roughly Gaussian sub-block buys finer steps for the rest; these fractions of the
// full range are tried.
constexpr float kRangeFractions[] = {1.0f, 0.95f, 0.9f, 0.85f};

float squared_error(const float* x, const SubBlockFit& fit, float max_level) {
  const float inverse = fit.scale > 0.0f ? 1.0f / fit.scale : 0.0f;
  float sum = 0.0f;
  for (int i = 0; i < kKSubBlockElements; ++i) {
    const float level = std::clamp(std::nearbyint((x[i] + fit.min) * inverse), 0.0f, max_level);
    const float difference = fit.scale * level - fit.min - x[i];
    sum += difference * difference;
  }
  return sum;
}

SubBlockFit fit_sub_block(const float* x, float max_level) {
  const auto [low, high] = std::minmax_element(x, x + kKSubBlockElements);
  const float lowest = std::min(*low, 0.0f);  // the stored minimum cannot be negative
  const float range = *high - lowest;
  SubBlockFit best;
  float best_error = INFINITY;
  for (const float fraction : kRangeFractions) {
    const float clipped = range * (1.0f - fraction) * 0.5f;
    const SubBlockFit fit = {.scale = range * fraction / max_level,
                             .min = std::max(0.0f, -(lowest + clipped))};
    const float error = squared_error(x, fit, max_level);
    if (error < best_error) {
      best = fit;
      best_error = error;
    }
  }
  return best;
}

uint8_t to_6_bits(float value, float step) {
  return step > 0.0f ? static_cast<uint8_t>(std::clamp(std::nearbyint(value / step), 0.0f, 63.0f))
                     : uint8_t{0};
}

}  // namespace

KBlockFit fit_k_block(std::span<const float, kKSubBlocks * kKSubBlockElements> values, int max_level) {
  SubBlockFit fits[kKSubBlocks];
  SubBlockFit largest;
  for (int j = 0; j < kKSubBlocks; ++j) {
    fits[j] = fit_sub_block(values.data() + j * kKSubBlockElements, static_cast<float>(max_level));
    largest.scale = std::max(largest.scale, fits[j].scale);
    largest.min = std::max(largest.min, fits[j].min);
  }
  KBlockFit out;
  out.d = f32_to_f16(largest.scale / 63.0f);
  out.dmin = f32_to_f16(largest.min / 63.0f);
  const float d = f16_to_f32(out.d);
  const float dmin = f16_to_f32(out.dmin);
  for (int j = 0; j < kKSubBlocks; ++j) {
    out.scales.scale[j] = to_6_bits(fits[j].scale, d);
    out.scales.min[j] = to_6_bits(fits[j].min, dmin);
    const float scale = d * static_cast<float>(out.scales.scale[j]);
    const float min = dmin * static_cast<float>(out.scales.min[j]);
    const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    for (int i = j * kKSubBlockElements; i < (j + 1) * kKSubBlockElements; ++i) {
      const float level = std::nearbyint((values[static_cast<size_t>(i)] + min) * inverse);
      out.levels[i] = static_cast<uint8_t>(std::clamp(level, 0.0f, static_cast<float>(max_level)));
    }
  }
  return out;
}

}  // namespace halod

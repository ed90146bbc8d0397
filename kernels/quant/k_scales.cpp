#include "kernels/quant/k_scales.h"

#include <algorithm>
#include <cmath>

#include "kernels/quant/half.h"

namespace halod {
namespace {

// Clipping the tails of a roughly Gaussian sub-block buys finer steps for the rest; these fractions of the
// full range are tried.
constexpr float kRangeFractions[] = {1.0f, 0.95f, 0.9f, 0.85f};

float squared_error(std::span<const float> values, const SubBlockFit& fit, float max_level) {
  const float inverse = fit.scale > 0.0f ? 1.0f / fit.scale : 0.0f;
  float sum = 0.0f;
  for (const float x : values) {
    const float level = std::clamp(std::nearbyint((x + fit.min) * inverse), 0.0f, max_level);
    const float difference = fit.scale * level - fit.min - x;
    sum += difference * difference;
  }
  return sum;
}

uint8_t to_6_bits(float value, float step) {
  return step > 0.0f ? static_cast<uint8_t>(std::clamp(std::nearbyint(value / step), 0.0f, 63.0f))
                     : uint8_t{0};
}

}  // namespace

SubBlockFit fit_sub_block(std::span<const float> values, int max_level) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const float lowest = std::min(*low, 0.0f);  // the stored minimum cannot be negative
  const float range = *high - lowest;
  SubBlockFit best;
  float best_error = INFINITY;
  for (const float fraction : kRangeFractions) {
    const float clipped = range * (1.0f - fraction) * 0.5f;
    const SubBlockFit fit = {.scale = range * fraction / static_cast<float>(max_level),
                             .min = std::max(0.0f, -(lowest + clipped))};
    const float error = squared_error(values, fit, static_cast<float>(max_level));
    if (error < best_error) {
      best = fit;
      best_error = error;
    }
  }
  return best;
}

KBlockFit fit_k_block(std::span<const float, kKSubBlocks * kKSubBlockElements> values, int max_level) {
  SubBlockFit fits[kKSubBlocks];
  SubBlockFit largest;
  for (int j = 0; j < kKSubBlocks; ++j) {
    fits[j] = fit_sub_block(values.subspan(static_cast<size_t>(j * kKSubBlockElements), kKSubBlockElements),
                            max_level);
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

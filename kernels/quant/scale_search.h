// What the simple encoders of code-book formats share: the nearest value of a short table, and a scale.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace halod {

/// The index of the value nearest to x; the first of several.
template <size_t n>
int nearest_index(const int8_t (&values)[n], float x) {
  int best = 0;
  for (size_t i = 1; i < n; ++i) {
    const float error = std::fabs(static_cast<float>(values[i]) - x);
    if (error < std::fabs(static_cast<float>(values[best]) - x)) best = static_cast<int>(i);
  }
  return best;
}

/// A scale s >= 0 for which w ~= s * code, at most 256 weights. encode(scale, codes) fills int8 codes of
/// magnitude <= largest_code for a scale > 0. Scales that clip ever more of the largest weight are tried,
/// each corrected by least squares; the one of least squared error is taken. 0 when all weights are 0.
template <class Encode>
float search_scale(std::span<const float> values, float largest_code, const Encode& encode) {
  // A Gaussian of few levels wants its tail cut at about 1.2 standard deviations, a third of its maximum.
  constexpr float kFractions[] = {1.0f, 0.9f, 0.8f, 0.7f, 0.6f, 0.5f, 0.4f, 0.3f};
  float magnitude = 0.0f;
  for (const float x : values) magnitude = std::max(magnitude, std::fabs(x));
  float best = 0.0f, best_error = std::numeric_limits<float>::infinity();
  if (magnitude == 0.0f) return best;
  int8_t codes[256];
  for (const float fraction : kFractions) {
    float scale = fraction * magnitude / largest_code;
    encode(scale, codes);
    float product = 0.0f, power = 0.0f, error = 0.0f;
    for (size_t i = 0; i < values.size(); ++i) {
      product += values[i] * static_cast<float>(codes[i]);
      power += static_cast<float>(codes[i]) * static_cast<float>(codes[i]);
    }
    if (product > 0.0f) scale = product / power;
    for (size_t i = 0; i < values.size(); ++i) {
      const float difference = values[i] - scale * static_cast<float>(codes[i]);
      error += difference * difference;
    }
    if (error < best_error) {
      best = scale;
      best_error = error;
    }
  }
  return best;
}

}  // namespace halod

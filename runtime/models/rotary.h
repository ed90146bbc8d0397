// The angles of rotary position embedding.
#pragma once

#include <span>
#include <vector>

#include "runtime/weights/model_config.h"

namespace halod {

struct RotaryFrequencies {
  std::vector<float> inverse;  ///< [n_dims / 2] radians per position
  float magnitude = 1;         ///< of the rotated values
};

/// `divisors`: [n_dims / 2] of rope_freqs.weight, Llama 3's way of scaling, or empty.
RotaryFrequencies rotary_frequencies(const ModelConfig& config, std::span<const float> divisors);

}  // namespace halod

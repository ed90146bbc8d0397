#include "runtime/models/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace halod {
namespace {

/// How much of each frequency is interpolated: 0 for those that turn more than beta_fast times within the
/// original context, 1 for those that turn less than beta_slow times, a ramp between (Peng et al. 2023,
/// section 3.2).
class YarnRamp {
 public:
  explicit YarnRamp(const ModelConfig& config) {
    const RopeConfig& rope = config.rope;
    const auto n_dims = static_cast<double>(rope.n_dims);
    // The pair that turns so often within the original context, as a real number.
    const auto pair_of = [&](float n_turns) {
      return n_dims *
             std::log(static_cast<double>(rope.original_context_length) /
                      (static_cast<double>(n_turns) * 2 * std::numbers::pi)) /
             (2 * std::log(static_cast<double>(config.rope_theta)));
    };
    first_ = pair_of(rope.beta_fast);
    last_ = pair_of(rope.beta_slow);
    if (rope.rounds_correction_range) {
      first_ = std::floor(first_);
      last_ = std::ceil(last_);
    }
    first_ = std::max(first_, 0.0);
    last_ = std::min(last_, n_dims - 1);
  }
  double at(int64_t pair) const {
    return std::clamp((static_cast<double>(pair) - first_) / std::max(last_ - first_, 0.001), 0.0, 1.0);
  }

 private:
  double first_ = 0, last_ = 0;
};

}  // namespace

RotaryFrequencies rotary_frequencies(const ModelConfig& config, std::span<const float> divisors) {
  const RopeConfig& rope = config.rope;
  RotaryFrequencies frequencies;
  for (int64_t i = 0; i < rope.n_dims / 2; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(rope.n_dims);
    double frequency = std::pow(static_cast<double>(config.rope_theta), exponent);
    if (!divisors.empty()) frequency /= static_cast<double>(divisors[static_cast<size_t>(i)]);
    const double interpolated = frequency / static_cast<double>(rope.factor);
    if (rope.scaling == RopeScaling::kLinear) frequency = interpolated;
    if (rope.scaling == RopeScaling::kYarn) {
      const double share = YarnRamp(config).at(i);
      frequency = interpolated * share + frequency * (1 - share);
    }
    frequencies.inverse.push_back(static_cast<float>(frequency));
  }
  if (rope.scaling == RopeScaling::kYarn && rope.factor > 1)
    frequencies.magnitude = static_cast<float>(1 + 0.1 * std::log(static_cast<double>(rope.factor)));
  return frequencies;
}

}  // namespace halod

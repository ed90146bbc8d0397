// Seeded test data with the outliers that real activations have.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace halod::test {

/// Normal values; one in 64 is 20 times larger, as in the residual streams of trained models.
inline std::vector<float> random_values(int64_t n, uint32_t seed, float scale = 1.0F) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0F, scale);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) {
    value = normal(generator);
    if (generator() % 64 == 0) value *= 20.0F;
  }
  return values;
}

/// sum((x - reference)^2) / sum(reference^2)
inline double nmse(const std::vector<float>& x, const std::vector<float>& reference) {
  double error = 0, power = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double difference = static_cast<double>(x[i]) - static_cast<double>(reference[i]);
    error += difference * difference;
    power += static_cast<double>(reference[i]) * static_cast<double>(reference[i]);
  }
  return power > 0 ? error / power : error;
}

}  // namespace halod::test

// Values to check kernels on, and how far results are off: for the self-tests of the CPU and of a GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace halod {

/// -1 … 1, one in 64 twenty times larger: without outliers, rounding hides mistakes in scales.
inline std::vector<float> check_values(int64_t n, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) {
    value = static_cast<float>(generator()) / 2147483648.0F - 1.0F;
    if (generator() % 64 == 0) value *= 20.0F;
  }
  return values;
}

/// The squared error relative to the expected power; NaN where any value is.
inline double check_nmse(std::span<const float> values, std::span<const float> expected) {
  double error = 0, power = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double difference = static_cast<double>(values[i]) - static_cast<double>(expected[i]);
    error += difference * difference;
    power += static_cast<double>(expected[i]) * static_cast<double>(expected[i]);
  }
  return power > 0 ? error / power : error;
}

}  // namespace halod

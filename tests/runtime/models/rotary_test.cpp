#include "runtime/models/rotary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace halod {
namespace {

ModelConfig config_of(const RopeConfig& rope) {
  ModelConfig config;
  config.rope_theta = 10000;
  config.rope = rope;
  return config;
}

TEST(RotaryFrequencies, FallGeometricallyFromOne) {
  const RotaryFrequencies plain = rotary_frequencies(config_of({.n_dims = 8}), {});
  ASSERT_EQ(plain.inverse.size(), 4U);
  for (size_t i = 0; i < 4; ++i) EXPECT_FLOAT_EQ(plain.inverse[i], std::pow(10.0F, -static_cast<float>(i)));
  EXPECT_EQ(plain.magnitude, 1.0F);
}

TEST(RotaryFrequencies, AreDividedByTheFilesDivisors) {
  const std::vector<float> divisors = {1, 2, 4, 8};
  const RotaryFrequencies llama3 = rotary_frequencies(config_of({.n_dims = 8}), divisors);
  EXPECT_FLOAT_EQ(llama3.inverse[0], 1.0F);
  EXPECT_FLOAT_EQ(llama3.inverse[1], 0.05F);
  EXPECT_FLOAT_EQ(llama3.inverse[3], 0.000125F);
}

TEST(RotaryFrequencies, AreAllDividedByALinearFactor) {
  const auto linear =
      rotary_frequencies(config_of({.n_dims = 8, .scaling = RopeScaling::kLinear, .factor = 4}), {});
  EXPECT_FLOAT_EQ(linear.inverse[0], 0.25F);
  EXPECT_FLOAT_EQ(linear.inverse[2], 0.0025F);
  EXPECT_EQ(linear.magnitude, 1.0F);
}

TEST(RotaryFrequencies, OfYarnKeepTheFastestAndInterpolateTheSlowest) {
  RopeConfig rope{.n_dims = 64, .scaling = RopeScaling::kYarn, .factor = 32, .original_context_length = 4096};
  rope.rounds_correction_range = false;
  const auto yarn = rotary_frequencies(config_of(rope), {});
  const auto plain = rotary_frequencies(config_of({.n_dims = 64}), {});
  // A pair turns 4096 * f / 2 pi times: more than 32 times up to pair 10, less than once from pair 23 on.
  const auto share = [&](size_t i) {
    const double full = static_cast<double>(plain.inverse[i]), least = full / 32;
    return (full - static_cast<double>(yarn.inverse[i])) / (full - least);
  };
  EXPECT_NEAR(share(0), 0, 1e-6);
  EXPECT_NEAR(share(10), 0, 1e-6);
  EXPECT_NEAR(share(23), 1, 1e-6);
  EXPECT_NEAR(share(31), 1, 1e-6);
  const double first = 64 * std::log(4096 / (32 * 2 * M_PI)) / (2 * std::log(10000.0)),
               last = 64 * std::log(4096 / (2 * M_PI)) / (2 * std::log(10000.0));
  EXPECT_NEAR(share(16), (16 - first) / (last - first), 1e-5);
  EXPECT_FLOAT_EQ(yarn.magnitude, 1.0F + 0.1F * std::log(32.0F));

  rope.rounds_correction_range = true;
  const auto rounded = rotary_frequencies(config_of(rope), {});
  const double expected = (16 - std::floor(first)) / (std::ceil(last) - std::floor(first));
  const double full = static_cast<double>(plain.inverse[16]);
  EXPECT_NEAR((full - static_cast<double>(rounded.inverse[16])) / (full - full / 32), expected, 1e-5);
}

}  // namespace
}  // namespace halod

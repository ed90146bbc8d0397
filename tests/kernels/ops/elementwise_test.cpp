#include "kernels/ops/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/ops/reference.h"
#include "tests/support/random_values.h"

namespace halod {
namespace {

using test::nmse;
using test::random_values;

/// Calls check(variant) for every row that this CPU runs.
template <class Variants, class Check>
void for_each_runnable(Variants variants, const Check& check) {
  for (const auto& variant : variants) {
    SCOPED_TRACE(variant.name);
    if (runs_on(variant.isa, cpu_features())) check(variant);
  }
}

TEST(RmsNorm, MatchesTheReferenceInEveryVariant) {
  for (int64_t n : {16, 48, 2048}) {
    const std::vector<float> x = random_values(n, 1), weight = random_values(n, 2);
    std::vector<float> expected(x.size()), y(x.size());
    reference::rms_norm({x.data(), weight.data(), expected.data(), n, 1e-6F});
    for_each_runnable(rms_norm_variants(), [&](const auto& variant) {
      variant.run({x.data(), weight.data(), y.data(), n, 1e-6F});
      EXPECT_LT(nmse(y, expected), 1e-12);
    });
  }
}

TEST(Rope, MatchesTheReferenceInEveryVariantForAnyEvenHead) {
  for (int64_t n : {2, 30, 64, 128}) {
    std::vector<float> cosines, sines;
    for (int64_t i = 0; i < n / 2; ++i) {
      cosines.push_back(std::cos(0.37F * static_cast<float>(i)));
      sines.push_back(std::sin(0.37F * static_cast<float>(i)));
    }
    const std::vector<float> x = random_values(n, 3);
    for (const bool pairs_neighbours : {false, true}) {
      std::vector<float> expected = x;
      reference::rope({expected.data(), cosines.data(), sines.data(), n, pairs_neighbours});
      for_each_runnable(rope_variants(), [&](const auto& variant) {
        std::vector<float> y = x;
        variant.run({y.data(), cosines.data(), sines.data(), n, pairs_neighbours});
        EXPECT_LT(nmse(y, expected), 1e-13);
      });
    }
  }
}

TEST(Rope, TurnsNeighboursOrHalvesTogether) {
  const std::vector<float> cosines = {0, 1}, sines = {1, 0};  // the first pair by a right angle
  for_each_runnable(rope_variants(), [&](const auto& variant) {
    std::vector<float> halves = {1, 2, 3, 4}, neighbours = halves;
    variant.run({halves.data(), cosines.data(), sines.data(), 4});
    EXPECT_EQ(halves, (std::vector<float>{-3, 2, 1, 4}));
    variant.run({neighbours.data(), cosines.data(), sines.data(), 4, true});
    EXPECT_EQ(neighbours, (std::vector<float>{-2, 1, 3, 4}));
  });
}

TEST(Swiglu, MatchesTheReferenceInEveryVariantAlsoWhereTheSigmoidSaturates) {
  for (int64_t n : {1, 16, 63, 768}) {
    std::vector<float> gate = random_values(n, 4, 5.0F);
    gate[0] = -200.0F;
    const std::vector<float> up = random_values(n, 5);
    std::vector<float> expected = gate;
    reference::swiglu({expected.data(), up.data(), n});
    for_each_runnable(swiglu_variants(), [&](const auto& variant) {
      std::vector<float> y = gate;
      variant.run({y.data(), up.data(), n});
      EXPECT_LT(nmse(y, expected), 1e-12);
    });
  }
}

TEST(ClampedSwiglu, MatchesTheReferenceInEveryVariantWithinAndBeyondItsLimits) {
  for (int64_t n : {1, 16, 63, 720}) {
    std::vector<float> gate = random_values(n, 4, 6.0F), up = random_values(n, 5, 6.0F);
    gate[0] = -200.0F;
    std::vector<float> expected = gate;
    reference::clamped_swiglu({expected.data(), up.data(), n});
    for_each_runnable(clamped_swiglu_variants(), [&](const auto& variant) {
      std::vector<float> y = gate;
      variant.run({y.data(), up.data(), n});
      EXPECT_LT(nmse(y, expected), 1e-12);
    });
  }
}

TEST(ClampedSwiglu, BoundsTheGateAboveAndUpOnBothSides) {
  std::vector<float> gate = {20.0F, 7.0F, 1.0F, 1.0F, 1.0F};
  const std::vector<float> up = {0.0F, 0.0F, 20.0F, 7.0F, -20.0F};
  reference::clamped_swiglu({gate.data(), up.data(), 5});
  EXPECT_EQ(gate[0], gate[1]);
  EXPECT_NEAR(gate[1], 7.0F / (1.0F + std::exp(-1.702F * 7.0F)), 1e-5F);
  EXPECT_EQ(gate[2], gate[3]);
  EXPECT_NEAR(gate[4], -6.0F / (1.0F + std::exp(-1.702F)), 1e-5F);
}

TEST(SquaredRelu, IsTheSquareOfWhatIsPositiveInEveryVariant) {
  for (int64_t n : {1, 16, 63, 720}) {
    const std::vector<float> x = random_values(n, 8, 3.0F);
    std::vector<float> expected;
    for (const float value : x) expected.push_back(value > 0 ? value * value : 0.0F);
    for_each_runnable(squared_relu_variants(), [&](const auto& variant) {
      std::vector<float> y = x;
      variant.run({y.data(), n});
      EXPECT_EQ(y, expected);
    });
  }
}

TEST(WeightedSum, MatchesTheReferenceInEveryVariant) {
  for (int64_t n : {1, 17, 256}) {
    const std::vector<float> a = random_values(n, 6), b = random_values(n, 7);
    const float* const terms[] = {a.data(), b.data()};
    const float weights[] = {0.75F, 0.25F};
    std::vector<float> expected(static_cast<size_t>(n), 1.0F);
    reference::weighted_sum({terms, weights, 2, expected.data(), n});
    for_each_runnable(weighted_sum_variants(), [&](const auto& variant) {
      std::vector<float> y(static_cast<size_t>(n), 1.0F);
      variant.run({terms, weights, 2, y.data(), n});
      EXPECT_LT(nmse(y, expected), 1e-11);  // 1 + sum may cancel
    });
  }
}

TEST(RouterTopK, WeighsByTheSoftmaxOfTheChosenOrByTheirSigmoids) {
  using Gating = RouterTopKArgs::Gating;
  const std::vector<float> logits = {0.0F, 2.0F, 1.0F, -3.0F}, bias = {0.0F, 0.0F, 0.0F, 8.0F};
  for_each_runnable(router_top_k_variants(), [&](const auto& variant) {
    std::vector<int32_t> experts(2);
    std::vector<float> weights(2);
    RouterTopKArgs args{.logits = logits.data(),
                        .n_experts = 4,
                        .n_chosen = 2,
                        .experts = experts.data(),
                        .weights = weights.data(),
                        .gating = Gating::kSoftmaxOfChosen};
    variant.run(args);
    EXPECT_EQ(experts, (std::vector<int32_t>{1, 2}));
    EXPECT_NEAR(weights[0], 1.0F / (1.0F + std::exp(-1.0F)), 1e-6F);
    args.gating = Gating::kSigmoid;
    args.selection_bias = bias.data();  // decides who is chosen, and not with what weight
    args.weights_scale = 2.5F;
    variant.run(args);
    EXPECT_EQ(experts, (std::vector<int32_t>{3, 1}));
    const float a = 1.0F / (1.0F + std::exp(3.0F)), b = 1.0F / (1.0F + std::exp(-2.0F));
    EXPECT_NEAR(weights[0], 2.5F * a / (a + b), 1e-6F);
    EXPECT_NEAR(weights[1], 2.5F * b / (a + b), 1e-6F);
  });
}

TEST(RouterTopK, TakesTheBestWithLowerIndexOnTiesAndSumsToOne) {
  const std::vector<float> logits = {0.5F, 2.0F, -1.0F, 2.0F, 1.0F};
  for_each_runnable(router_top_k_variants(), [&](const auto& variant) {
    std::vector<int32_t> experts(3);
    std::vector<float> weights(3);
    variant.run({logits.data(), 5, 3, experts.data(), weights.data()});
    EXPECT_EQ(experts, (std::vector<int32_t>{1, 3, 4}));
    EXPECT_NEAR(weights[0] + weights[1] + weights[2], 1.0F, 1e-6F);
    EXPECT_NEAR(weights[0] / weights[2], std::exp(1.0F), 1e-5F);
  });
}

}  // namespace
}  // namespace halod

#include "kernels/ops/recurrent.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "kernels/ops/reference.h"
#include "tests/support/random_values.h"

namespace halod {
namespace {

using test::nmse;
using test::random_values;

/// A head of `head_dim`, its queries, keys and values in one row per token.
struct DeltaCase {
  explicit DeltaCase(int64_t head_dim_)
      : head_dim(head_dim_),
        rows(random_values(kTokens * 3 * head_dim, 41, 0.3F)),
        decay(random_values(kTokens, 42)),
        beta(random_values(kTokens, 43)),
        state(random_values(head_dim * head_dim, 44, 0.1F)) {
    for (float& value : decay) value = 1.0F / (1.0F + std::exp(-value));
    for (float& value : beta) value = 1.0F / (1.0F + std::exp(-value));
  }
  DeltaRuleArgs tokens(int64_t first, int64_t n) {
    float* row = rows.data() + first * 3 * head_dim;
    return {.q = row,
            .k = row + head_dim,
            .v = row + 2 * head_dim,
            .stride = 3 * head_dim,
            .decay = decay.data() + first,
            .beta = beta.data() + first,
            .gate_stride = 1,
            .n_tokens = n,
            .head_dim = head_dim,
            .state = state.data()};
  }

  static constexpr int64_t kTokens = 11;
  int64_t head_dim;
  std::vector<float> rows, decay, beta, state;
};

TEST(DeltaRule, MatchesTheReferenceInEveryVariant) {
  for (const int64_t head_dim : {16, 48, 128}) {
    DeltaCase expected(head_dim);
    reference::delta_rule(expected.tokens(0, DeltaCase::kTokens));
    for (const auto& variant : delta_rule_variants()) {
      if (!runs_on(variant.isa, cpu_features())) continue;
      SCOPED_TRACE(variant.name);
      DeltaCase actual(head_dim);
      variant.run(actual.tokens(0, DeltaCase::kTokens));
      EXPECT_LT(nmse(actual.rows, expected.rows), 1e-12);
      EXPECT_LT(nmse(actual.state, expected.state), 1e-12);
    }
  }
}

TEST(DeltaRule, GivesTheSameBitsTokenByToken) {
  for (const auto& variant : delta_rule_variants()) {
    if (!runs_on(variant.isa, cpu_features())) continue;
    DeltaCase at_once(48), one_by_one(48);
    variant.run(at_once.tokens(0, DeltaCase::kTokens));
    for (int64_t t = 0; t < DeltaCase::kTokens; ++t) variant.run(one_by_one.tokens(t, 1));
    EXPECT_EQ(at_once.rows, one_by_one.rows) << variant.name;
    EXPECT_EQ(at_once.state, one_by_one.state) << variant.name;
  }
}

TEST(DeltaRule, ReadsBackTheValueThatItStoredUnderAKey) {
  // beta 1 and a unit key: the state then gives exactly the new value for that key, whatever was there.
  const int64_t n = 16;
  std::vector<float> key(16), value = random_values(n, 45), state = random_values(n * n, 46);
  key[3] = 1.0F;
  const std::vector<float> wanted = value;
  const float decay = 0.7F, beta = 1.0F;
  reference::delta_rule({.q = key.data(),
                         .k = key.data(),
                         .v = value.data(),
                         .stride = n,
                         .decay = &decay,
                         .beta = &beta,
                         .gate_stride = 1,
                         .n_tokens = 1,
                         .head_dim = n,
                         .state = state.data()});
  EXPECT_LT(nmse(value, wanted), 1e-12);
}

TEST(CausalConv, IsTheSumOverItsTapsWithTheTokenItselfLast) {
  const int64_t n_channels = 32, n_taps = 4, n_tokens = 9;
  const std::vector<float> x = random_values(n_tokens * n_channels, 47),
                           weight = random_values(n_taps * n_channels, 48),
                           bias = random_values(n_channels, 49);
  for (const auto& variant : causal_conv_variants()) {
    if (!runs_on(variant.isa, cpu_features())) continue;
    SCOPED_TRACE(variant.name);
    for (const int64_t chunk : {9, 1, 2}) {
      std::vector<float> y = x, state(static_cast<size_t>((n_taps - 1) * n_channels));
      for (int64_t first = 0; first < n_tokens; first += chunk) {
        variant.run({.x = y.data() + first * n_channels,
                     .x_stride = n_channels,
                     .n_tokens = std::min(chunk, n_tokens - first),
                     .n_channels = n_channels,
                     .weight = weight.data(),
                     .weight_stride = n_channels,
                     .n_taps = n_taps,
                     .state = state.data(),
                     .state_stride = n_channels,
                     .bias = bias.data()});
      }
      for (int64_t t = 0; t < n_tokens; ++t) {
        for (int64_t c = 0; c < n_channels; ++c) {
          double sum = static_cast<double>(bias[static_cast<size_t>(c)]);
          for (int64_t tap = std::max<int64_t>(0, n_taps - 1 - t); tap < n_taps; ++tap) {
            sum += static_cast<double>(weight[static_cast<size_t>(tap * n_channels + c)]) *
                   static_cast<double>(x[static_cast<size_t>((t - n_taps + 1 + tap) * n_channels + c)]);
          }
          ASSERT_NEAR(y[static_cast<size_t>(t * n_channels + c)], sum / (1.0 + std::exp(-sum)), 1e-5)
              << "token " << t << ", channel " << c << ", in chunks of " << chunk;
        }
      }
    }
  }
}

TEST(DeltaGates, AreAnExponentialOfASoftplusAndASigmoid) {
  const float alpha[] = {0.5F, -40.0F, 50.0F}, beta_logits[] = {0.0F, 3.0F, -90.0F},
              a[] = {-1.0F, -2.0F, -0.1F}, dt_bias[] = {0.25F, 0.0F, 0.0F};
  for (const auto& variant : delta_gates_variants()) {
    float decay[3], beta[3];
    variant.run({alpha, beta_logits, a, dt_bias, 3, decay, beta});
    EXPECT_NEAR(decay[0], std::exp(-std::log1p(std::exp(0.75))), 1e-6);
    EXPECT_EQ(decay[1], 1.0F);
    EXPECT_NEAR(decay[2], std::exp(-5.0), 1e-6);
    EXPECT_EQ(beta[0], 0.5F);
    EXPECT_NEAR(beta[1], 1.0 / (1.0 + std::exp(-3.0)), 1e-6);
    EXPECT_NEAR(beta[2], 0.0, 1e-30);
  }
}

/// A head of Mamba-2: values, what they are written under and what is read by in one row per token.
struct SsmCase {
  SsmCase(int64_t state_size_, int64_t head_dim_)
      : state_size(state_size_),
        head_dim(head_dim_),
        rows(random_values(kTokens * stride(), 52, 0.5F)),
        decay(random_values(kTokens, 53)),
        dt(random_values(kTokens, 54)),
        state(random_values(state_size * head_dim, 55, 0.1F)) {
    for (float& value : decay) value = 1.0F / (1.0F + std::exp(-value));
    for (float& value : dt) value = std::abs(value);
  }
  int64_t stride() const { return head_dim + 2 * state_size; }
  SsmScanArgs tokens(int64_t first, int64_t n) {
    float* row = rows.data() + first * stride();
    return {.b = row + head_dim,
            .c = row + head_dim + state_size,
            .x = row,
            .stride = stride(),
            .decay = decay.data() + first,
            .dt = dt.data() + first,
            .gate_stride = 1,
            .n_tokens = n,
            .state_size = state_size,
            .head_dim = head_dim,
            .skip = -0.6F,
            .state = state.data()};
  }

  static constexpr int64_t kTokens = 11;
  int64_t state_size, head_dim;
  std::vector<float> rows, decay, dt, state;
};

TEST(SsmScan, MatchesTheReferenceInEveryVariantAlsoWhereStatesAreNotSquare) {
  for (const auto& [state_size, head_dim] : {std::pair(128, 64), std::pair(32, 48), std::pair(5, 16)}) {
    SsmCase expected(state_size, head_dim);
    reference::ssm_scan(expected.tokens(0, SsmCase::kTokens));
    for (const auto& variant : ssm_scan_variants()) {
      if (!runs_on(variant.isa, cpu_features())) continue;
      SCOPED_TRACE(variant.name);
      SsmCase actual(state_size, head_dim);
      variant.run(actual.tokens(0, SsmCase::kTokens));
      EXPECT_LT(nmse(actual.rows, expected.rows), 1e-12);
      EXPECT_LT(nmse(actual.state, expected.state), 1e-12);
    }
  }
}

TEST(SsmScan, GivesTheSameBitsTokenByToken) {
  for (const auto& variant : ssm_scan_variants()) {
    if (!runs_on(variant.isa, cpu_features())) continue;
    SsmCase at_once(32, 48), one_by_one(32, 48);
    variant.run(at_once.tokens(0, SsmCase::kTokens));
    for (int64_t t = 0; t < SsmCase::kTokens; ++t) variant.run(one_by_one.tokens(t, 1));
    EXPECT_EQ(at_once.rows, one_by_one.rows) << variant.name;
    EXPECT_EQ(at_once.state, one_by_one.state) << variant.name;
  }
}

/// The recurrence unrolled: out[t] = skip x[t] + sum_{s <= t} (product of the decays after s) (c[t].b[s])
/// dt[s] x[s].
TEST(SsmScan, IsTheSumOverAllEarlierTokensOfWhatIsLeftOfThem) {
  SsmCase scan(32, 16);
  std::ranges::fill(scan.state, 0.0F);
  const std::vector<float> rows = scan.rows;
  reference::ssm_scan(scan.tokens(0, SsmCase::kTokens));
  const auto at = [&](int64_t token, int64_t i) {
    return static_cast<double>(rows[static_cast<size_t>(token * scan.stride() + i)]);
  };
  for (int64_t t = 0; t < SsmCase::kTokens; ++t) {
    for (int64_t column = 0; column < scan.head_dim; ++column) {
      double expected = -0.6 * at(t, column);
      for (int64_t s = 0; s <= t; ++s) {
        double left = static_cast<double>(scan.dt[static_cast<size_t>(s)]);
        for (int64_t later = s + 1; later <= t; ++later)
          left *= static_cast<double>(scan.decay[static_cast<size_t>(later)]);
        double product = 0;
        for (int64_t i = 0; i < scan.state_size; ++i)
          product += at(s, scan.head_dim + i) * at(t, scan.head_dim + scan.state_size + i);
        expected += left * product * at(s, column);
      }
      EXPECT_NEAR(scan.rows[static_cast<size_t>(t * scan.stride() + column)], expected,
                  1e-5 * (1 + std::abs(expected)));
    }
  }
}

TEST(SsmGates, AreASoftplusAndWhatItLeavesOfTheState) {
  const float logits[] = {0.5F, -40.0F, 50.0F}, a[] = {-1.0F, -2.0F, -0.1F}, dt_bias[] = {0.25F, 0.0F, 0.0F};
  for (const auto& variant : ssm_gates_variants()) {
    float decay[3], dt[3];
    variant.run({logits, a, dt_bias, 3, decay, dt});
    EXPECT_NEAR(dt[0], std::log1p(std::exp(0.75)), 1e-6);
    EXPECT_NEAR(decay[0], std::exp(-std::log1p(std::exp(0.75))), 1e-6);
    EXPECT_NEAR(dt[1], 0.0, 1e-17);
    EXPECT_EQ(decay[1], 1.0F);
    EXPECT_EQ(dt[2], 50.0F);
    EXPECT_NEAR(decay[2], std::exp(-5.0), 1e-6);
  }
}

TEST(SigmoidGate, MatchesTheReferenceInEveryVariant) {
  for (const int64_t n : {1, 16, 63}) {
    const std::vector<float> x = random_values(n, 50), gate = random_values(n, 51, 4.0F);
    std::vector<float> expected = x;
    reference::sigmoid_gate({expected.data(), gate.data(), n});
    EXPECT_NEAR(expected[0], x[0] / (1.0F + std::exp(-gate[0])), 1e-6F);
    for (const auto& variant : sigmoid_gate_variants()) {
      if (!runs_on(variant.isa, cpu_features())) continue;
      std::vector<float> y = x;
      variant.run({y.data(), gate.data(), n});
      EXPECT_LT(nmse(y, expected), 1e-12) << variant.name;
    }
  }
}

}  // namespace
}  // namespace halod

#include "runtime/engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "runtime/engine/philox.h"
#include "tests/support/best_tokens.h"

namespace halod {
namespace {

using testing_support::best_tokens;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> random_logits(size_t n, uint32_t seed, float spread = 2.5F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(n);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

Result<SampledToken> sample(std::vector<float> logits, const SamplingParams& params, uint32_t answer_idx = 0,
                            const TokenCounts& counts = {}) {
  Sampler sampler;
  return sampler.sample({.params = params, .counts = counts, .answer_idx = answer_idx, .logits = logits});
}

int32_t sample_id(const std::vector<float>& logits, const SamplingParams& params, uint32_t answer_idx = 0,
                  const TokenCounts& counts = {}) {
  return to_int(sample(logits, params, answer_idx, counts).value().token);
}

/// The distribution that request.h defines, written down plainly: everything sorted, everything in double.
std::vector<double> simple_distribution(const std::vector<float>& logits, const SamplingParams& params) {
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  if (params.top_k > 0 && static_cast<size_t>(params.top_k) < order.size())
    order.resize(static_cast<size_t>(params.top_k));
  std::vector<double> probabilities(logits.size(), 0);
  const auto normalise = [&] {
    double sum = 0;
    for (const double probability : probabilities) sum += probability;
    for (double& probability : probabilities) probability /= sum;
  };
  for (const size_t id : order) {
    probabilities[id] =
        std::exp((double{logits[id]} - double{logits[order[0]]}) / double{params.temperature});
  }
  normalise();
  double mass = 0;
  for (const size_t id : order) {
    if (mass >= double{params.top_p}) probabilities[id] = 0;
    mass += probabilities[id];
  }
  for (const size_t id : order) {
    if (probabilities[id] < double{params.min_p} * probabilities[order[0]]) probabilities[id] = 0;
  }
  normalise();
  return probabilities;
}

/// Draws with positions 0..n-1 and compares the counts with `expected`. Returns chi-square minus its degrees
/// of freedom, in standard deviations.
double chi_square_deviation(const std::vector<float>& logits, const SamplingParams& params,
                            const std::vector<double>& expected) {
  constexpr uint32_t kDraws = 15000;
  std::vector<double> observed(logits.size(), 0);
  for (uint32_t i = 0; i < kDraws; ++i) ++observed[static_cast<size_t>(sample_id(logits, params, i))];
  double chi_square = 0;
  double rest_observed = 0;
  double rest_expected = 0;
  int n_cells = 0;
  for (size_t id = 0; id < logits.size(); ++id) {
    if (expected[id] == 0) {
      EXPECT_EQ(observed[id], 0) << "token " << id << " is not among the candidates";
    } else if (expected[id] * kDraws < 10) {  // too rare for a cell of its own
      rest_observed += observed[id];
      rest_expected += expected[id] * kDraws;
    } else {
      chi_square += std::pow(observed[id] - expected[id] * kDraws, 2) / (expected[id] * kDraws);
      ++n_cells;
    }
  }
  if (rest_expected > 5) {
    chi_square += std::pow(rest_observed - rest_expected, 2) / rest_expected;
    ++n_cells;
  }
  const double degrees = std::max(1, n_cells - 1);
  return (chi_square - degrees) / std::sqrt(2 * degrees);
}

TEST(Philox, GivesThePublishedKnownAnswers) {
  using Block = std::array<uint32_t, 4>;
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(philox4x32_10({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, DrawsUniformlyOverPositionsAndSeeds) {
  std::vector<int> cells(64, 0);
  for (uint64_t i = 0; i < 32000; ++i) {
    ++cells[static_cast<size_t>(uniform_draw(5, i) * 64)];
    ++cells[static_cast<size_t>(uniform_draw(i << 33, 7) * 64)];
  }
  double chi_square = 0;
  for (const int n : cells) chi_square += std::pow(n - 1000.0, 2) / 1000.0;
  EXPECT_LT(chi_square, 63 + 5 * std::sqrt(2 * 63.0));
  EXPECT_GT(chi_square, 63 - 5 * std::sqrt(2 * 63.0));
}

TEST(ASampler, TakesTheLowestIdAmongEqualBestWhenGreedy) {
  const SamplingParams greedy{.temperature = 0};
  for (const size_t n : {1U, 2U, 15U, 16U, 17U, 63U, 257U, 1000U}) {
    std::vector<float> logits(n, -1.0F);
    for (size_t best = 0; best < n; ++best) {
      std::vector<float> changed = logits;
      changed[best] = 2.0F;
      changed[n - 1] = 2.0F;
      ASSERT_EQ(sample_id(changed, greedy), static_cast<int32_t>(best)) << n;
    }
    EXPECT_EQ(sample_id(logits, greedy), 0);
  }
}

TEST(ASampler, IsGreedyAsTheTemperatureGoesToZero) {
  const auto logits = random_logits(501, 3);
  const int32_t best = sample_id(logits, {.temperature = 0});
  for (const float temperature : {1e-45F, 1e-30F, 1e-4F})
    EXPECT_EQ(sample_id(logits, {.temperature = temperature}), best);
  EXPECT_NO_THROW(sample_id(logits, {.temperature = 3e38F}));
}

TEST(ASampler, DrawsFromTheDistributionThatTheParametersDefine) {
  const std::vector<SamplingParams> cases = {
      {},
      {.temperature = 0.6F},
      {.temperature = 2.0F},
      {.top_k = 1},
      {.top_k = 7},
      {.top_p = 0.5F},
      {.top_p = 0.95F},
      {.top_p = 1e-6F},
      {.min_p = 0.1F},
      {.temperature = 0.7F, .top_k = 20, .top_p = 0.8F},
      {.temperature = 1.5F, .top_k = 40, .top_p = 0.9F, .min_p = 0.05F},
      {.temperature = 5.0F, .top_p = 0.9F},  // flat: the nucleus needs several sorted pieces
  };
  for (const size_t n : {1U, 63U, 600U}) {
    const auto logits = random_logits(n, 17);
    for (SamplingParams params : cases) {
      params.seed = 123;
      const double deviation = chi_square_deviation(logits, params, simple_distribution(logits, params));
      EXPECT_LT(deviation, 5) << "vocabulary " << n << ", temperature " << params.temperature << ", top_k "
                              << params.top_k << ", top_p " << params.top_p << ", min_p " << params.min_p;
    }
  }
}

TEST(ASampler, KeepsExactlyTheReferencesCandidatesInALargeVocabulary) {
  const auto logits = random_logits(20011, 5);
  for (const SamplingParams& params :
       {SamplingParams{.top_k = 50}, {.top_p = 0.9F}, {.min_p = 0.02F}, {.top_k = 3000, .top_p = 0.99F}}) {
    const auto expected = simple_distribution(logits, params);
    for (uint32_t i = 0; i < 300; ++i)
      ASSERT_GT(expected[static_cast<size_t>(sample_id(logits, params, i))], 0);
  }
}

TEST(ASampler, PrefersLowerIdsWhenTopKCutsThroughEqualLogits) {
  const std::vector<float> logits(5000, 1.0F);
  for (uint32_t i = 0; i < 200; ++i) EXPECT_LT(sample_id(logits, {.top_k = 3}, i), 3);
}

TEST(ASampler, RepeatsADrawForTheSameSeedAndPositionAndChangesItForOthers) {
  const auto logits = random_logits(1000, 9, 0.5F);
  int n_other_seed = 0;
  int n_other_position = 0;
  for (uint32_t i = 0; i < 100; ++i) {
    const int32_t id = sample_id(logits, {.seed = uint64_t{1} << 63}, i);
    EXPECT_EQ(sample_id(logits, {.seed = uint64_t{1} << 63}, i), id);
    n_other_seed += sample_id(logits, {.seed = 1}, i) != id;
    n_other_position += sample_id(logits, {.seed = uint64_t{1} << 63}, i + 1) != id;
  }
  EXPECT_GT(n_other_seed, 90);
  EXPECT_GT(n_other_position, 90);
}

TEST(ASampler, AddsLogitBiasBeforeAnythingElse) {
  SamplingParams params{.temperature = 0};
  params.logit_bias = {{2, 5.0F}, {0, -100.0F}};
  EXPECT_EQ(sample_id({9, 1, 3, 7}, params), 2);
  params.temperature = 1;
  params.logit_bias = {{0, -100.0F}};
  for (uint32_t i = 0; i < 1000; ++i) EXPECT_NE(sample_id({9, 1, 3, 7}, params, i), 0);
}

TEST(ASampler, DividesPositiveAndMultipliesNegativeLogitsOfTokensSeenByTheRepetitionPenalty) {
  TokenCounts counts;
  counts.add_prompt_token(TokenId{0});
  counts.add_answer_token(TokenId{1});
  counts.add_answer_token(TokenId{1});  // repeated: applied once all the same
  const SamplingParams params{.temperature = 0, .repetition_penalty = 2};
  EXPECT_EQ(sample_id({4.0F, 4.0F, 2.1F}, params, 0, counts), 2);
  EXPECT_EQ(sample_id({4.0F, 4.0F, 1.9F}, params, 0, counts), 0);
  EXPECT_EQ(sample_id({-1.0F, -1.0F, -1.9F}, params, 0, counts), 2);
  EXPECT_EQ(sample_id({-1.0F, -1.0F, -2.1F}, params, 0, counts), 0);
}

TEST(ASampler, SubtractsPresenceOnceAndFrequencyPerOccurrenceInTheAnswerOnly) {
  TokenCounts counts;
  counts.add_prompt_token(TokenId{0});
  counts.add_prompt_token(TokenId{0});
  for (int i = 0; i < 3; ++i) counts.add_answer_token(TokenId{1});
  const SamplingParams presence{.temperature = 0, .presence_penalty = 1};
  EXPECT_EQ(sample_id({0, 2.1F, 1}, presence, 0, counts), 1);
  EXPECT_EQ(sample_id({0, 1.9F, 1}, presence, 0, counts), 2);
  EXPECT_EQ(sample_id({1.1F, 0, 1}, presence, 0, counts), 0) << "a prompt token was penalised";
  const SamplingParams frequency{.temperature = 0, .frequency_penalty = 1};
  EXPECT_EQ(sample_id({0, 4.1F, 1}, frequency, 0, counts), 1);
  EXPECT_EQ(sample_id({0, 3.9F, 1}, frequency, 0, counts), 2);
  const SamplingParams reward{.temperature = 0, .presence_penalty = -1};
  EXPECT_EQ(sample_id({0, 0.5F, 1}, reward, 0, counts), 1);
}

TEST(ASampler, ReportsLogprobsOfTheRawLogits) {
  const auto logits = random_logits(3001, 21);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double{logit});
  TokenCounts counts;
  counts.add_answer_token(TokenId{5});
  SamplingParams params{.temperature = 0.3F, .top_k = 4, .repetition_penalty = 1.5F, .n_logprobs = 20};
  params.logit_bias = {{5, 60.0F}};  // makes token 5 certain although the model does not expect it
  const SampledToken sampled = sample(logits, params, 0, counts).value();
  ASSERT_EQ(to_int(sampled.token), 5);
  EXPECT_NEAR(sampled.logprob, double{logits[5]} - std::log(sum), 1e-5);
  ASSERT_EQ(sampled.top_logprobs.size(), 20U);
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(sampled.top_logprobs[i].token_id, order[i]);
    EXPECT_NEAR(sampled.top_logprobs[i].logprob,
                double{logits[static_cast<size_t>(order[i])]} - std::log(sum), 1e-5);
  }
}

TEST(ASampler, ReportsAsManyLogprobsAsAsked) {
  const std::vector<float> logits = {0, 1, 2};
  EXPECT_TRUE(sample(logits, {.temperature = 0})->top_logprobs.empty());
  EXPECT_EQ(sample(logits, {.temperature = 0})->logprob, 0);
  const auto only_chosen = sample(logits, {.temperature = 0, .n_logprobs = 0}).value();
  EXPECT_TRUE(only_chosen.top_logprobs.empty());
  EXPECT_NEAR(only_chosen.logprob, 2 - std::log(1 + std::exp(1) + std::exp(2)), 1e-6);
  EXPECT_EQ(sample(logits, {.temperature = 0, .n_logprobs = 20})->top_logprobs.size(), 3U)
      << "more than the vocabulary";
}

TEST(ASampler, GivesLogprobsThatJsonCanCarry) {
  SamplingParams params{.temperature = 0, .n_logprobs = 2};
  params.logit_bias = {{1, 1.0F}};
  const auto sampled = sample({0, -20000, -kInfinity}, params).value();
  EXPECT_EQ(to_int(sampled.token), 0);
  EXPECT_EQ(sampled.top_logprobs.at(1).logprob, kLowestLogprob);
}

TEST(ASampler, AnswersWithAnErrorWhenLogitsAreNotNumbers) {
  for (const size_t bad_idx : {0U, 17U, 40U}) {
    for (const SamplingParams& params :
         {SamplingParams{.temperature = 0}, {}, {.n_logprobs = 2}, {.top_k = 3}}) {
      for (const float bad : {std::numeric_limits<float>::quiet_NaN(), kInfinity}) {
        auto logits = random_logits(41, 2);
        logits[bad_idx] = bad;
        const auto sampled = sample(logits, params, 12);
        ASSERT_FALSE(sampled);
        EXPECT_EQ(sampled.error().code, ErrorCode::kInternal);
        EXPECT_NE(sampled.error().message.find("answer token 12"), std::string::npos);
      }
    }
  }
  EXPECT_FALSE(sample({-kInfinity, -kInfinity}, {.temperature = 0}));
}

TEST(ASampler, NeverChoosesABannedToken) {
  const std::vector<float> logits = {-kInfinity, 1, -kInfinity, 0};
  for (const SamplingParams& params :
       {SamplingParams{.temperature = 0}, {}, {.temperature = 100}, {.top_k = 3}, {.top_p = 0.9999F}}) {
    for (uint32_t i = 0; i < 200; ++i) EXPECT_EQ(sample_id(logits, params, i) % 2, 1);
  }
}

TEST(SamplingParameters, AreRefusedOutsideTheirRanges) {
  EXPECT_TRUE(validate({}, 10));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::pair<SamplingParams, std::string>> cases = {
      {{.temperature = -0.1F}, "temperature"},
      {{.temperature = nan}, "temperature"},
      {{.temperature = kInfinity}, "temperature"},
      {{.top_k = -1}, "top_k"},
      {{.top_p = 0}, "top_p"},
      {{.top_p = 1.01F}, "top_p"},
      {{.min_p = 1}, "min_p"},
      {{.min_p = -0.5F}, "min_p"},
      {{.repetition_penalty = 0}, "repetition_penalty"},
      {{.presence_penalty = nan}, "presence_penalty"},
      {{.frequency_penalty = -kInfinity}, "frequency_penalty"},
      {{.n_logprobs = 21}, "n_logprobs"},
      {{.n_logprobs = -2}, "n_logprobs"},
  };
  for (const auto& [params, field] : cases) {
    const auto checked = validate(params, 10);
    ASSERT_FALSE(checked) << field;
    EXPECT_EQ(checked.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(checked.error().field, field);
  }
  for (const LogitBias& entry : {LogitBias{10, 1.0F}, {-1, 1.0F}, {3, nan}}) {
    SamplingParams params;
    params.logit_bias = {entry};
    EXPECT_EQ(validate(params, 10).error().field, "logit_bias");
  }
}

TEST(SamplingOfTheBest, DrawsTheTokenThatAllLogitsWouldGive) {
  std::vector<float> logits = random_logits(500, 21);
  // Ties, also at the end of the best.
  logits[7] = logits[300] = logits[301] = *std::ranges::max_element(logits);
  for (size_t id = 100; id < 200; ++id) logits[id] = 1.5F;
  std::vector<float> few(500, -kInfinity);
  few[3] = 1;
  few[499] = 2;
  Sampler sampler;
  int n_others = 0;
  for (const std::vector<float>& row : {logits, few}) {
    for (const int32_t top_k : {1, 2, 20, 64}) {
      for (const float top_p : {1.0F, 0.9F, 0.3F}) {
        for (const float min_p : {0.0F, 0.05F}) {
          for (uint32_t idx = 0; idx < 40; ++idx) {
            const SamplingParams params{
                .temperature = 0.8F, .top_k = top_k, .top_p = top_p, .min_p = min_p, .seed = 5};
            ASSERT_EQ(n_best_needed(params, 500), top_k);
            const auto sampled = sampler.sample_best(params, idx, best_tokens(row, top_k)).value();
            ASSERT_EQ(to_int(sampled.token), sample_id(row, params, idx))
                << top_k << " " << top_p << " " << idx;
            n_others += to_int(sampled.token) != to_int(best_tokens(row, 1)[0].token) ? 1 : 0;
          }
        }
      }
    }
  }
  EXPECT_GT(n_others, 100);  // not only the best token
}

TEST(SamplingOfTheBest, ServesTheRequestsThatItDecides) {
  EXPECT_EQ(n_best_needed({.temperature = 0}, 500), 1);
  EXPECT_EQ(n_best_needed({.temperature = 1, .top_k = 40}, 500), 40);
  EXPECT_EQ(n_best_needed({.temperature = 1, .top_k = 0}, 500), 0);
  EXPECT_EQ(n_best_needed({.temperature = 1, .top_k = 500}, 500), 0) << "bounds nothing";
  EXPECT_EQ(n_best_needed({.temperature = 1, .top_k = 40, .presence_penalty = 1}, 500), 0);
  EXPECT_EQ(n_best_needed({.temperature = 0, .repetition_penalty = 1.1F}, 500), 0);
  EXPECT_EQ(n_best_needed({.temperature = 1, .top_k = 40, .n_logprobs = 0}, 500), 0);
  EXPECT_EQ(n_best_needed({.temperature = 1, .top_k = 40, .logit_bias = {{3, 1.0F}}}, 500), 0);
}

TEST(SamplingOfTheBest, ReportsLogitsThatAreNoNumbersAsAllLogitsDo) {
  const SamplingParams params{.temperature = 1, .top_k = 5};
  Sampler sampler;
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), kInfinity}) {
    std::vector<float> logits = random_logits(50, 22);
    logits[13] = logits[31] = value;
    EXPECT_EQ(sampler.sample_best(params, 4, best_tokens(logits, 5)).error().message,
              sample(logits, params, 4).error().message);
  }
  const std::vector<float> none(50, -kInfinity);
  EXPECT_EQ(sampler.sample_best(params, 4, best_tokens(none, 5)).error().message,
            sample(none, params, 4).error().message);
}

}  // namespace
}  // namespace halod

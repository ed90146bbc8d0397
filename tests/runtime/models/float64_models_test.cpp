// Families that the conformance kit lacks: a tiny model of random weights each, its logits against a second
// implementation of the whole forward pass, and the promises that every architecture makes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "bench/loaded_model.h"
#include "tests/runtime/models/float64_blocks.h"
#include "tests/support/random_model.h"

namespace halod {
namespace {

using bench::LoadedModel;
using test::Float64File;
using test::RandomModelFile;

struct Family {
  const char* name;  ///< of random_families()
  test::Rows (*logits)(const Float64File& file, std::span<const TokenId> tokens);
};

constexpr Family kFamilies[] = {
    {"glm4moe", test::glm4_moe_logits},          {"glm4moe-air", test::glm4_moe_logits},
    {"minimax-m2", test::minimax_m2_logits},     {"nemotron_h", test::nemotron_h_logits},
    {"nemotron_h_moe", test::nemotron_h_logits}, {"nemotron_h_moe-latent", test::nemotron_h_logits},
    {"qwen35moe", test::qwen35_moe_logits},
};

std::vector<TokenId> random_tokens(int64_t n, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<TokenId> ids;
  for (int64_t i = 0; i < n; ++i) ids.push_back(static_cast<TokenId>(generator() % 256));
  return ids;
}

class EveryRandomFamily : public testing::TestWithParam<Family> {
 protected:
  LoadedModel load(bool exact) const {
    return LoadedModel({.path = file_.path(),
                        .backend = {.kind = "cpu", .n_threads = 2, .exact = exact},
                        .context_length = 256,
                        .max_logit_rows = 128,
                        .max_sequences = 3});
  }
  const RandomModelFile file_{GetParam().name};
};

TEST_P(EveryRandomFamily, AgreesWithAnIndependentFloat64ImplementationAtEveryPosition) {
  const std::vector<TokenId> ids = random_tokens(45, 31);
  const test::Rows expected = GetParam().logits(Float64File(file_.path()), ids);
  LoadedModel exact = load(true), fast = load(false);
  const std::vector<float> exact_logits = exact.append(ids, 0, 512), fast_logits = fast.append(ids, 0, 512);
  int n_loose = 0;
  double largest = 0, worst_nmse = 0, worst_fast = 0;
  for (size_t t = 0; t < ids.size(); ++t) {
    double error = 0, fast_error = 0, power = 0;
    for (size_t i = 0; i < expected[t].size(); ++i) {
      const size_t at = t * expected[t].size() + i;
      const double difference = static_cast<double>(exact_logits[at]) - expected[t][i],
                   fast_difference = static_cast<double>(fast_logits[at]) - expected[t][i];
      largest = std::max(largest, std::abs(difference));
      error += difference * difference;
      fast_error += fast_difference * fast_difference;
      power += expected[t][i] * expected[t][i];
    }
    worst_nmse = std::max(worst_nmse, error / power);
    worst_fast = std::max(worst_fast, fast_error / power);
    // Not `error / power >= …`: NaN has to count.
    n_loose += !(fast_error / power < 1e-4);
    EXPECT_LT(error / power, 1e-7) << "position " << t;
  }
  EXPECT_LT(largest, 1e-3);
  // Rounded keys and values may turn a close choice of experts, and the positions that attend to it differ.
  EXPECT_LE(n_loose, static_cast<int>(ids.size()) / 5) << "the fast path";
  RecordProperty("max_abs", std::to_string(largest));
  RecordProperty("worst_nmse", std::to_string(worst_nmse * 1e12) + "e-12");
  RecordProperty("worst_fast_nmse", std::to_string(worst_fast * 1e9) + "e-9");
}

TEST_P(EveryRandomFamily, GivesTheSameBitsForAnyChunkOfThePromptAndTokenByToken) {
  const std::vector<TokenId> ids = random_tokens(75, 33);
  for (const bool exact : {false, true}) {
    LoadedModel model = load(exact);
    const std::vector<float> at_once = model.append(ids, 0, 512);
    for (const int64_t chunk : {1, 2, 7, 31, 32, 33, 74}) {
      model.rewind();
      EXPECT_EQ(model.append(ids, 0, chunk), at_once) << "in chunks of " << chunk << (exact ? ", exact" : "");
    }
  }
}

TEST_P(EveryRandomFamily, GivesASequenceTheSameBitsAloneAndInABatch) {
  LoadedModel model = load(false);
  constexpr int64_t kVocabSize = 256;
  const std::vector<std::vector<PageId>> pages = {{PageId{6}}, {PageId{3}, PageId{1}}, {PageId{5}}};
  const std::vector<std::vector<TokenId>> ids = {random_tokens(9, 1), random_tokens(40, 2),
                                                 random_tokens(2, 3)};
  // Prompts together, then one more token of each together.
  std::vector<float> together;
  for (const bool is_last : {false, true}) {
    std::vector<TokenId> tokens;
    std::vector<SequenceSlice> slices;
    std::vector<int32_t> rows;
    for (size_t s = 0; s < ids.size(); ++s) {
      const auto n_first = static_cast<int32_t>(ids[s].size()) - 1;
      const std::span<const TokenId> part = std::span(ids[s]).subspan(
          is_last ? static_cast<size_t>(n_first) : 0, is_last ? 1 : static_cast<size_t>(n_first));
      tokens.insert(tokens.end(), part.begin(), part.end());
      slices.push_back({pages[s], is_last ? n_first : 0, static_cast<int32_t>(part.size()),
                        static_cast<int32_t>(ids.size() - 1 - s)});
      rows.push_back(static_cast<int32_t>(tokens.size()) - 1);
    }
    together.assign(ids.size() * kVocabSize, 0);
    model.model().forward({tokens, slices, rows}, {together.data(), 3, kVocabSize});
  }
  for (size_t s = 0; s < ids.size(); ++s) {
    model.rewind();
    const std::vector<float> alone = model.append(ids[s]);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(),
                           together.begin() + static_cast<std::ptrdiff_t>(s) * kVocabSize))
        << "sequence " << s;
  }
}

TEST_P(EveryRandomFamily, GoesOnWithTheSameBitsWhenASequenceWasPreempted) {
  LoadedModel model = load(false);
  const std::vector<TokenId> ids = random_tokens(50, 35), other = random_tokens(37, 36);
  // Undisturbed: a prompt of 30, then token by token.
  std::vector<float> expected = model.append(std::span(ids).first(30), 29, 512);
  for (size_t i = 30; i < ids.size(); ++i) expected = model.append({&ids[i], 1});
  // Preempted after 10 tokens of the answer: another one takes its slot and its pages meanwhile, and it
  // begins again with prompt and answer so far.
  model.rewind();
  model.append(std::span(ids).first(30));
  for (size_t i = 30; i < 40; ++i) model.append({&ids[i], 1});
  model.rewind();
  model.append(other);
  model.rewind();
  std::vector<float> resumed = model.append(std::span(ids).first(40));
  for (size_t i = 40; i < ids.size(); ++i) resumed = model.append({&ids[i], 1});
  EXPECT_EQ(resumed, expected);
}

/// The GPU's kernels on the lanes of the CPU: keys, values and attention's weights are f16 there.
TEST_P(EveryRandomFamily, AgreesOnTheGpuToo) {
  const std::vector<TokenId> ids = random_tokens(21, 31);
  const test::Rows expected = GetParam().logits(Float64File(file_.path()), ids);
  LoadedModel gpu({.path = file_.path(),
                   .backend = {.kind = "hip-lanes", .n_threads = 1},
                   .context_length = 64,
                   .max_logit_rows = 32});
  const std::vector<float> logits = gpu.append(ids, 0, 16);
  int n_loose = 0;
  for (size_t t = 0; t < ids.size(); ++t) {
    double error = 0, power = 0;
    for (size_t i = 0; i < expected[t].size(); ++i) {
      const double difference = static_cast<double>(logits[t * expected[t].size() + i]) - expected[t][i];
      error += difference * difference;
      power += expected[t][i] * expected[t][i];
    }
    n_loose += !(error / power < 1e-4);
  }
  // As on the CPU's fast path.
  EXPECT_LE(n_loose, static_cast<int>(ids.size()) / 5);
}

INSTANTIATE_TEST_SUITE_P(Random, EveryRandomFamily, testing::ValuesIn(kFamilies), [](const auto& family) {
  std::string name = family.param.name;
  std::ranges::replace(name, '-', '_');
  return name;
});

}  // namespace
}  // namespace halod

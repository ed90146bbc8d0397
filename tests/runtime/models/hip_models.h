// What the tests of whole models through the GPU backend share.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "bench/loaded_model.h"
#include "tests/support/random_values.h"

namespace halod::test {

inline bench::LoadedModel load(const std::filesystem::path& path, const std::string& backend) {
  return bench::LoadedModel({.path = path,
                             .backend = {.kind = backend, .n_threads = 1},
                             .context_length = 192,
                             .max_batch_tokens = 64,
                             .max_logit_rows = 64,
                             .max_sequences = 3});
}

inline std::vector<TokenId> random_ids(int64_t n, int64_t vocab_size, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<TokenId> ids;
  for (int64_t i = 0; i < n; ++i)
    ids.push_back(static_cast<TokenId>(generator() % static_cast<uint32_t>(vocab_size)));
  return ids;
}

/// Both backends round activations to 8 bits where weights are quantised; they differ in the order of f32
/// sums, which now and then turns a code or, at a near tie, the choice of an expert.
inline constexpr double kBound = 1e-3;

/// The NMSE of each row of logits.
inline std::vector<double> row_errors(const std::vector<float>& ours, const std::vector<float>& theirs,
                                      int64_t vocab_size) {
  EXPECT_EQ(ours.size(), theirs.size());
  std::vector<double> errors;
  for (auto first = ours.begin(), other = theirs.begin(); first != ours.end();
       first += vocab_size, other += vocab_size)
    errors.push_back(nmse({first, first + vocab_size}, {other, other + vocab_size}));
  return errors;
}

/// Two steps of three sequences, the second from the states of the first: a prompt that fills tiles, one that
/// does not, and single tokens.
inline void expect_same_bits_alone_and_in_a_batch(bench::LoadedModel gpu) {
  const int64_t vocab_size = gpu.config().vocab_size;
  const std::vector<std::vector<PageId>> pages = {{PageId{4}}, {PageId{3}}, {PageId{1}}};
  struct Part {
    int32_t n_past, n_new;
  };
  const std::vector<std::vector<Part>> steps = {{{0, 12}, {0, 3}, {0, 1}}, {{12, 1}, {3, 1}, {1, 9}}};
  std::vector<std::vector<TokenId>> ids;
  for (uint32_t s = 0; s < 3; ++s) ids.push_back(random_ids(16, vocab_size, s + 1));
  std::vector<std::vector<float>> together(3);
  for (const std::vector<Part>& step : steps) {
    std::vector<TokenId> tokens;
    std::vector<SequenceSlice> slices;
    std::vector<int32_t> last_rows;
    for (size_t s = 0; s < step.size(); ++s) {
      const auto [n_past, n_new] = step[s];
      tokens.insert(tokens.end(), ids[s].begin() + n_past, ids[s].begin() + n_past + n_new);
      slices.push_back({pages[s], n_past, n_new, static_cast<int32_t>(2 - s)});
      last_rows.push_back(static_cast<int32_t>(tokens.size()) - 1);
    }
    std::vector<float> logits(3 * static_cast<size_t>(vocab_size));
    gpu.model().forward({tokens, slices, last_rows}, {logits.data(), 3, vocab_size});
    for (size_t s = 0; s < step.size(); ++s)
      together[s].assign(logits.begin() + static_cast<int64_t>(s) * vocab_size,
                         logits.begin() + static_cast<int64_t>(s + 1) * vocab_size);
  }
  for (size_t s = 0; s < ids.size(); ++s) {
    gpu.rewind();
    const auto n = static_cast<size_t>(steps[1][s].n_past + steps[1][s].n_new);
    EXPECT_EQ(gpu.append(std::span(ids[s]).first(n)), together[s]) << "sequence " << s;
  }
}

}  // namespace halod::test

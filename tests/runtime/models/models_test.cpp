#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "bench/loaded_model.h"
#include "runtime/weights/gguf_file.h"
#include "tests/runtime/models/float64_decoder.h"
#include "tests/runtime/models/temporary_model.h"

namespace halod {
namespace {

using bench::LoadedModel;
using test::TemporaryModel;

std::vector<TokenId> random_ids(int64_t n, int64_t vocab_size, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<TokenId> ids;
  for (int64_t i = 0; i < n; ++i)
    ids.push_back(static_cast<TokenId>(generator() % static_cast<uint32_t>(vocab_size)));
  return ids;
}

LoadedModel load(const TemporaryModel& model, bool exact = false, int n_threads = 2) {
  return LoadedModel({.path = model.path(),
                      .backend = {.n_threads = n_threads, .exact = exact},
                      .context_length = 256,
                      .max_logit_rows = 64,
                      .max_sequences = 3});
}

struct Case {
  const char* shape;
  const char* recipe;
  double nmse_bound;  ///< of the fast path; the kit's README has the reasons
};

class EveryArchitectureAndFormat : public testing::TestWithParam<Case> {};

TEST(TheCpuBackend, SaysWhichKernelsServeTheWeightsThatItPlaced) {
  const TemporaryModel file("tiny-moe", "Q4_K_M");
  const auto rows_of = [](const LoadedModel& model) {
    std::map<std::pair<std::string, std::string>, std::string> rows;
    for (const SelectedKernel& kernel : model.backend().selections()) {
      EXPECT_TRUE(rows.emplace(std::pair(kernel.operation, kernel.format), kernel.variant).second)
          << kernel.operation << " " << kernel.format << " has two";
    }
    return rows;
  };
  const auto fast = rows_of(load(file)), exact = rows_of(load(file, true));
  for (const char* format : {"Q4_K", "Q6_K"}) {
    EXPECT_NE(fast.at({"matmul", format}), "reference");
    EXPECT_EQ(exact.at({"matmul", format}), "reference");
  }
  EXPECT_FALSE(fast.contains({"matmul", "Q8_0"})) << "no weight has that format";
  EXPECT_TRUE(fast.contains({"attention", "F16"}));
  EXPECT_TRUE(exact.contains({"attention", "F32"}));
  EXPECT_EQ(exact.at({"rope", ""}), "reference");
}

TEST_P(EveryArchitectureAndFormat, AgreesWithAnIndependentFloat64Implementation) {
  const TemporaryModel file(GetParam().shape, GetParam().recipe);
  LoadedModel exact = load(file, true), fast = load(file);
  const std::vector<TokenId> ids = random_ids(45, exact.config().vocab_size, 17);
  const auto expected = test::float64_logits(file.path(), ids);
  const std::vector<float> exact_logits = exact.append(ids, 0, 512), fast_logits = fast.append(ids, 0, 512);
  const auto vocab_size = static_cast<size_t>(exact.config().vocab_size);
  int n_loose = 0;
  for (size_t t = 0; t < ids.size(); ++t) {
    double exact_error = 0, fast_error = 0, power = 0;
    for (size_t i = 0; i < vocab_size; ++i) {
      const double exact_difference = static_cast<double>(exact_logits[t * vocab_size + i]) - expected[t][i];
      const double fast_difference = static_cast<double>(fast_logits[t * vocab_size + i]) - expected[t][i];
      exact_error += exact_difference * exact_difference;
      fast_error += fast_difference * fast_difference;
      power += expected[t][i] * expected[t][i];
      ASSERT_LT(std::abs(exact_difference), 1e-3) << "position " << t << ", token " << i;
    }
    EXPECT_LT(exact_error / power, 1e-7) << "position " << t;
    n_loose += fast_error / power > GetParam().nmse_bound;
    EXPECT_LT(fast_error / power, 0.3) << "position " << t;
  }
  // With rounded activations a close choice of experts may go the other way; that position, and those that
  // attend to it, then differ honestly. A random router's choices are closer than a trained one's. A wrong
  // kernel is loose at every position.
  EXPECT_LE(n_loose, static_cast<int>(ids.size()) / 3);
}

TEST_P(EveryArchitectureAndFormat, GivesTheSameBitsForAnyChunkOfThePrompt) {
  const TemporaryModel file(GetParam().shape, GetParam().recipe);
  LoadedModel model = load(file);
  const std::vector<TokenId> ids = random_ids(75, model.config().vocab_size, 23);
  const std::vector<float> at_once = model.append(ids, 70, 512);
  for (int64_t chunk : {1, 2, 7, 31, 32, 33, 74}) {
    model.rewind();
    EXPECT_EQ(model.append(ids, 70, chunk), at_once) << "in chunks of " << chunk;
  }
}

TEST_P(EveryArchitectureAndFormat, GivesTheSameBitsForAnyNumberOfThreads) {
  const TemporaryModel file(GetParam().shape, GetParam().recipe);
  LoadedModel one = load(file, false, 1), three = load(file, false, 3);
  const std::vector<TokenId> ids = random_ids(40, one.config().vocab_size, 29);
  EXPECT_EQ(one.append(ids), three.append(ids));
}

TEST_P(EveryArchitectureAndFormat, GivesASequenceTheSameBitsAloneAndInABatch) {
  const TemporaryModel file(GetParam().shape, GetParam().recipe);
  LoadedModel model = load(file);
  const int64_t vocab_size = model.config().vocab_size;
  // Three sequences of different lengths, one of them past a page's end, in pages that are not neighbours.
  const std::vector<std::vector<PageId>> pages = {{PageId{6}}, {PageId{3}, PageId{1}}, {PageId{5}}};
  const std::vector<std::vector<TokenId>> ids = {random_ids(9, vocab_size, 1), random_ids(40, vocab_size, 2),
                                                 random_ids(1, vocab_size, 3)};
  std::vector<TokenId> tokens;
  std::vector<SequenceSlice> slices;
  std::vector<int32_t> last_rows;
  for (size_t s = 0; s < ids.size(); ++s) {
    tokens.insert(tokens.end(), ids[s].begin(), ids[s].end());
    slices.push_back({pages[s], 0, static_cast<int32_t>(ids[s].size())});
    last_rows.push_back(static_cast<int32_t>(tokens.size()) - 1);
  }
  std::vector<float> together(ids.size() * static_cast<size_t>(vocab_size));
  model.model().forward({tokens, slices, last_rows}, {together.data(), 3, vocab_size});
  for (size_t s = 0; s < ids.size(); ++s) {
    model.rewind();
    const std::vector<float> alone = model.append(ids[s]);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(),
                           together.begin() + static_cast<std::ptrdiff_t>(s) * vocab_size))
        << "sequence " << s;
  }
}

// 8-bit activations: the rounding of each product's input is about 1e-4 of its power, and two layers have a
// dozen products. Float weights see it only in the f16 KV cache.
INSTANTIATE_TEST_SUITE_P(Synthetic, EveryArchitectureAndFormat,
                         testing::Values(Case{"tiny-moe", "F32", 1e-4}, Case{"tiny-moe", "BF16", 1e-4},
                                         Case{"tiny-moe", "Q8_0", 5e-3}, Case{"tiny-moe", "Q4_0", 5e-3},
                                         Case{"tiny-moe", "Q4_K_M", 5e-3}, Case{"tiny-moe", "Q5_K", 5e-3},
                                         Case{"tiny-moe", "MXFP4_MOE", 5e-3},
                                         Case{"tiny-moe", "IQ2_XXS", 5e-3},
                                         Case{"tiny-dense", "Q3_K_M", 5e-3},
                                         Case{"tiny-dense", "IQ4_XS", 5e-3}, Case{"tiny-dense", "F16", 1e-4},
                                         Case{"tiny-dense", "Q4_K_M", 5e-3},
                                         Case{"tiny-dense", "Q6_K", 5e-3}),
                         [](const auto& param) {
                           std::string name = std::string(param.param.shape) + "_" + param.param.recipe;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(LoadingAModel, HoldsThePackedWeightsOnceAndReportsThem) {
  const TemporaryModel file("tiny-moe", "Q4_K_M");
  uint64_t last_done = 0, total = 0;
  const auto on_bytes = [&](uint64_t done, uint64_t all) {
    EXPECT_GE(done, last_done);
    last_done = done;
    total = all;
  };
  LoadedModel model({.path = file.path(), .context_length = 32, .callbacks = {.on_bytes = on_bytes}});
  EXPECT_EQ(last_done, total);
  // Tiles pad rows to sixteen and bytes to 64, no more.
  EXPECT_NEAR(static_cast<double>(model.model().weight_bytes()), static_cast<double>(total),
              0.02 * static_cast<double>(total));
}

TEST(LoadingAModel, NamesFileAndTensorWhenTheFileIsCutShortAfterOpening) {
  const TemporaryModel file("tiny-dense", "Q8_0");
  auto opened = GgufFile::open(file.path());
  ASSERT_TRUE(opened);
  std::filesystem::resize_file(file.path(), std::filesystem::file_size(file.path()) / 2);
  auto backend = make_backend({.n_threads = 2}).value();
  const auto model =
      load_model(*opened, *backend, {.n_kv_pages = 1, .max_batch_tokens = 8, .max_logit_rows = 1}, {});
  ASSERT_FALSE(model);
  EXPECT_NE(model.error().message.find(file.path().filename().string()), std::string::npos)
      << model.error().message;
}

}  // namespace
}  // namespace halod

// Models from Hugging Face folders say what the GGUF files say that converters make of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "bench/loaded_model.h"
#include "tests/support/hf_twin.h"
#include "tests/support/random_values.h"
#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

using bench::LoadedModel;
using test::TwinOptions;
using test::TwinQuantisation;

constexpr size_t kTokens = 40;  // past gpt-oss' window and a KV page

std::vector<TokenId> random_ids(int64_t vocab_size) {
  std::mt19937 generator(11);
  std::vector<TokenId> ids;
  for (size_t i = 0; i < kTokens; ++i)
    ids.push_back(static_cast<TokenId>(generator() % static_cast<uint32_t>(vocab_size)));
  return ids;
}

std::vector<float> logits_of(const std::filesystem::path& path, bool exact) {
  LoadedModel model({.path = path,
                     .backend = {.kind = "cpu", .n_threads = 2, .exact = exact},
                     .context_length = 64,
                     .max_logit_rows = 64});
  return model.append(random_ids(model.config().vocab_size), 0, 512);
}

/// A text that config.json has, and what to have instead.
using Change = std::pair<std::string, std::string>;
const Change kLlama3Rope = {R"("rope_scaling": null)",
                            R"("rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                              "high_freq_factor": 4.0, "original_max_position_embeddings": 64})"};

struct Case {
  std::string name;
  std::string model_type;
  TwinOptions options;
  /// Sums in another order, or of weights in another format, are not the same bits; the exact path then
  /// agrees this far. 0: bit for bit, and so does the fast one.
  double exact_nmse = 0;
};

class AModelInTwoKindsOfFiles : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override { test::write_twin(GetParam().model_type, GetParam().options, folder_.path()); }
  std::vector<float> of_folder(bool exact) const { return logits_of(folder_.path() / "hf", exact); }
  std::vector<float> of_gguf(bool exact) const { return logits_of(folder_.path() / "twin.gguf", exact); }
  TemporaryFolder folder_;
};

TEST_P(AModelInTwoKindsOfFiles, SaysTheSameFromBoth) {
  const std::vector<float> expected = of_gguf(true), logits = of_folder(true);
  // Logits that are all alike would agree whatever is wrong.
  const auto [low, high] = std::ranges::minmax(expected);
  ASSERT_GT(high - low, 1);
  ASSERT_EQ(logits.size(), expected.size());
  if (GetParam().exact_nmse > 0) {
    EXPECT_LT(test::nmse(logits, expected), GetParam().exact_nmse);
  } else {
    EXPECT_EQ(logits, expected);
  }
}

TEST_P(AModelInTwoKindsOfFiles, SaysTheSameFromBothByFastKernels) {
  const std::vector<float> logits = of_folder(false);
  if (GetParam().exact_nmse == 0) {
    EXPECT_EQ(logits, of_gguf(false));
    return;
  }
  // With rounded activations a close choice of experts may go the other way (models_test.cpp).
  const std::vector<float> expected = of_gguf(true);
  const auto vocab_size = static_cast<std::ptrdiff_t>(expected.size() / kTokens);
  size_t n_loose = 0;
  for (std::ptrdiff_t t = 0; t < static_cast<std::ptrdiff_t>(kTokens); ++t) {
    const auto row = [&](const std::vector<float>& all) {
      return std::vector<float>(all.begin() + t * vocab_size, all.begin() + (t + 1) * vocab_size);
    };
    n_loose += test::nmse(row(logits), row(expected)) > 5e-3 ? 1 : 0;
  }
  EXPECT_LE(n_loose, kTokens / 3);
}

INSTANTIATE_TEST_SUITE_P(
    Twins, AModelInTwoKindsOfFiles,
    testing::Values(
        Case{"Qwen2", "qwen2", {}}, Case{"Qwen2Tied", "qwen2", {.dtype = "F16", .ties_output = true}},
        Case{"Llama", "llama", {}},
        Case{"Llama3", "llama", {.dtype = "F32", .config_changes = {kLlama3Rope}}, 1e-12},
        Case{"Mistral", "mistral", {}}, Case{"Mixtral", "mixtral", {}}, Case{"Qwen3", "qwen3", {}},
        Case{"Qwen3Moe", "qwen3_moe", {}}, Case{"MiniMaxM2", "minimax_m2", {}}, Case{"GptOss", "gpt_oss", {}},
        Case{"Glm4Moe", "glm4_moe", {}}, Case{"NemotronHMoe", "nemotron_h", {}},
        Case{"NemotronHDense", "nemotron_h, dense", {}},
        Case{"NemotronHByNames",
             "nemotron_h",
             {.config_changes = {{R"("hybrid_override_pattern": "MEM*E")",
                                  R"("layers_block_type": ["mamba", "moe", "mamba", "attention", "moe"])"}}}},
        Case{"Qwen3Next", "qwen3_next", {.dtype = "F32"}},
        // GGUF's value heads come in another order, and a row of the output matrix is summed in it.
        Case{"Qwen35Moe", "qwen3_5_moe", {.dtype = "F32"}, 1e-11},
        Case{"Qwen3MoeFp8", "qwen3_moe", {.quantisation = TwinQuantisation::kFp8Blocks}},
        Case{"MiniMaxM2Fp8", "minimax_m2", {.quantisation = TwinQuantisation::kFp8Blocks}},
        Case{"Glm4MoeFp8", "glm4_moe", {.quantisation = TwinQuantisation::kFp8Channels}},
        Case{"NemotronHMoeFp8", "nemotron_h", {.quantisation = TwinQuantisation::kFp8Blocks}},
        Case{"Qwen2Fp8", "qwen2", {.quantisation = TwinQuantisation::kFp8Channels}},
        Case{"LlamaGptqActOrder", "llama", {.quantisation = TwinQuantisation::kGptqActOrder}, 1e-11},
        Case{"Qwen3MoeGptqActOrder", "qwen3_moe", {.quantisation = TwinQuantisation::kGptqActOrder}, 1e-11},
        Case{"Qwen3NextGptqActOrder",
             "qwen3_next",
             {.dtype = "F32", .quantisation = TwinQuantisation::kGptqActOrder},
             1e-11},
        // The twin of 4-bit codes has them expanded to F32.
        Case{"Glm4MoeGptq", "glm4_moe", {.quantisation = TwinQuantisation::kGptq}, 1e-11},
        Case{"LlamaGptq", "llama", {.quantisation = TwinQuantisation::kGptq}, 1e-11},
        Case{
            "Qwen3NextGptq", "qwen3_next", {.dtype = "F32", .quantisation = TwinQuantisation::kGptq}, 1e-11}),
    [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace halod

#include "bench/paper_model.h"

#include <gtest/gtest.h>

namespace halod {
namespace {

constexpr PaperMachine kNoLaunchCost{.launch_s = 0};

TEST(APaperModel, CountsWhatASyntheticModelOfTheSameShapeReads) {
  // halo-bench synth --layers 48 --type Q4_K_M: "decoding a token reads 1919.6 MB", norms included.
  const auto prediction = predict_decode(*find_paper_model("30b-a3b-q4_k_m"), kNoLaunchCost, 0, 8);
  EXPECT_NEAR(prediction.weight_bytes / 1e6, 1919.6, 1919.6 * 0.002);
}

TEST(APaperModel, HasAsManyParametersAsItsNameSays) {
  const auto total = [](std::string_view name) {
    double n_params = 0;
    for (const WeightGroup& group : find_paper_model(name)->weights) n_params += group.n_params;
    return n_params / 1e9;
  };
  // Without the input embeddings.
  EXPECT_NEAR(total("30b-a3b-q4_k_m"), 30.2, 0.3);
  EXPECT_NEAR(total("gpt-oss-120b"), 116.2, 1.0);
  EXPECT_NEAR(total("qwen3-next-80b"), 79.3, 1.0);
  EXPECT_NEAR(total("nemotron-3-nano"), 31.2, 0.2);
}

TEST(APaperModel, IsBoundByMemoryInDecode) {
  const PaperModel& model = *find_paper_model("30b-a3b-gptq");
  const auto prediction = predict_decode(model, kNoLaunchCost, 0, 8);
  EXPECT_DOUBLE_EQ(prediction.tok_per_s, kNoLaunchCost.bytes_per_s / prediction.weight_bytes);
  const auto with_launches = predict_decode(model, {.launch_s = 1e-3}, 0, 8);
  EXPECT_NEAR(1 / with_launches.tok_per_s, 1 / prediction.tok_per_s + 1e-3 * (48 * 8 + 4), 1e-9);
}

TEST(APaperModel, HasTheLaunchesOfItsOwnLayersWhereTheseAreSingleBlocks) {
  const PaperModel& model = *find_paper_model("nemotron-3-nano");
  const auto prediction = predict_decode(model, {.launch_s = 1e-3}, 0, 8);
  EXPECT_NEAR(prediction.launch_s, 1e-3 * (23 * 6 + 23 * 3 + 6 * 5 + 4), 1e-9);
  EXPECT_DOUBLE_EQ(prediction.launch_s, predict_decode(model, {.launch_s = 1e-3}, 0, 1).launch_s);
}

TEST(APaperModel, ReadsKeysAndValuesUpToItsWindow) {
  const auto kv_bytes = [](std::string_view name, int64_t depth) {
    return predict_decode(*find_paper_model(name), {}, depth, 8).kv_bytes;
  };
  EXPECT_DOUBLE_EQ(kv_bytes("30b-a3b-gptq", 1000), 1000.0 * 48 * 2 * 4 * 128 * 2);
  EXPECT_DOUBLE_EQ(kv_bytes("gpt-oss-120b", 1000), (1000.0 + 128.0) * 18 * 2 * 8 * 64 * 2);
  EXPECT_DOUBLE_EQ(kv_bytes("qwen3-next-80b", 0), 2.0 * 36 * 32 * 128 * 128 * 4) << "the recurrent state";
}

TEST(APaperModel, IsBoundByArithmeticInLongPromptsAndByMemoryInShortOnes) {
  const PaperModel& model = *find_paper_model("30b-a3b-q4_k_m");
  const auto short_prompt = predict_prefill(model, kNoLaunchCost, 64, 8);
  EXPECT_DOUBLE_EQ(short_prompt.tok_per_s, 64 * kNoLaunchCost.bytes_per_s / short_prompt.bytes);
  const auto long_prompt = predict_prefill(model, kNoLaunchCost, 2048, 8);
  EXPECT_DOUBLE_EQ(long_prompt.tok_per_s, 2048 * kNoLaunchCost.flops_per_s / long_prompt.flops);
}

}  // namespace
}  // namespace halod

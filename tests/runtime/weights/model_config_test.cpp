#include "runtime/weights/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <optional>

#include "runtime/weights/gguf_file.h"
#include "runtime/weights/gguf_writer.h"
#include "tests/support/small_gguf.h"
#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

using Changes = std::map<std::string, std::optional<MetadataValue>>;  // nothing: the key is left out

class AModelConfig : public ::testing::Test {
 protected:
  // A valid model whose metadata differs by `changes`.
  Result<ModelConfig> read(const std::string& architecture, const Changes& changes,
                           int64_t embedding_cols = 8) {
    std::map<std::string, MetadataValue> keys = {{"general.architecture", architecture},
                                                 {architecture + ".block_count", int64_t{2}},
                                                 {architecture + ".context_length", int64_t{64}},
                                                 {architecture + ".embedding_length", int64_t{8}},
                                                 {architecture + ".feed_forward_length", int64_t{16}},
                                                 {architecture + ".attention.head_count", int64_t{4}},
                                                 {architecture + ".attention.head_count_kv", int64_t{2}},
                                                 {architecture + ".attention.key_length", int64_t{6}},
                                                 {architecture + ".attention.layer_norm_rms_epsilon", 1e-6},
                                                 {architecture + ".rope.freq_base", 1e6}};
    if (architecture == "qwen3moe") {
      keys["qwen3moe.expert_count"] = int64_t{8};
      keys["qwen3moe.expert_used_count"] = int64_t{2};
      keys["qwen3moe.expert_feed_forward_length"] = int64_t{12};
    }
    for (const auto& [key, value] : changes) {
      keys.erase(key);
      if (value) keys[key] = *value;
    }
    GgufWriter writer;
    for (const auto& [key, value] : keys) writer.add_metadata(key, value);
    writer.add_tensor("token_embd.weight", Format::kF32, {20, embedding_cols});
    return read_model_config(GgufFile::open(folder_.write_file("model.gguf", to_bytes(writer))).value());
  }
  TemporaryFolder folder_;
};

TEST_F(AModelConfig, HoldsAMoeModelsNumbers) {
  const ModelConfig config = read("qwen3moe", {{"general.name", "Some MoE"}}).value();
  EXPECT_EQ(config.architecture, "qwen3moe");
  EXPECT_EQ(config.name, "Some MoE");
  EXPECT_EQ(config.vocab_size, 20);
  EXPECT_EQ(config.hidden_size, 8);
  EXPECT_EQ(config.n_layers, 2);
  EXPECT_EQ(config.n_heads, 4);
  EXPECT_EQ(config.n_kv_heads, 2);
  EXPECT_EQ(config.head_dim, 6);
  EXPECT_EQ(config.n_experts, 8);
  EXPECT_EQ(config.n_experts_per_token, 2);
  EXPECT_EQ(config.moe_intermediate_size, 12);
  EXPECT_EQ(config.context_length, 64);
  EXPECT_EQ(config.rope_theta, 1e6f);
  EXPECT_EQ(config.rms_norm_eps, 1e-6f);
  EXPECT_TRUE(config.is_moe());
}

TEST_F(AModelConfig, HoldsADenseModelsNumbers) {
  const ModelConfig config = read("qwen3", {}).value();
  EXPECT_EQ(config.intermediate_size, 16);
  EXPECT_FALSE(config.is_moe());
  EXPECT_EQ(config.name, "qwen3");
}

TEST_F(AModelConfig, DerivesTheHeadSizeOnlyWhenItIsAbsent) {
  EXPECT_EQ(read("qwen3", {{"qwen3.attention.key_length", std::nullopt}}).value().head_dim, 2);
  EXPECT_EQ(read("qwen3", {{"qwen3.attention.head_count_kv", std::nullopt}}).value().n_kv_heads, 4);
}

TEST_F(AModelConfig, NamesTheArchitecturesThatItKnows) {
  const auto config = read("gpt-9", {});
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(
      config.error().message,
      AllOf(StartsWith("model.gguf: "), HasSubstr("gpt-9"),
            HasSubstr("gpt-oss, llama, minimax-m2, nemotron_h, nemotron_h_moe, qwen2, qwen3, qwen3moe, "
                      "qwen3next, qwen35moe")));
}

TEST_F(AModelConfig, RefusesAbsurdValuesByKey) {
  const std::pair<const char*, std::optional<MetadataValue>> cases[] = {
      {"block_count", std::nullopt},
      {"block_count", int64_t{0}},
      {"block_count", int64_t{-1}},
      {"block_count", int64_t{1} << 40},
      {"block_count", "two"},
      {"context_length", int64_t{0}},
      {"embedding_length", int64_t{0}},
      {"embedding_length", ~uint64_t{0}},
      {"attention.head_count", int64_t{0}},
      {"attention.head_count", MetadataArray(std::vector<int64_t>{4, 4})},
      {"attention.head_count_kv", int64_t{3}},
      {"attention.head_count_kv", int64_t{0}},
      {"attention.head_count_kv", int64_t{8}},
      {"attention.key_length", int64_t{5}},
      {"attention.key_length", int64_t{0}},
      {"attention.layer_norm_rms_epsilon", 0.0},
      {"attention.layer_norm_rms_epsilon", -1e-6},
      {"attention.layer_norm_rms_epsilon", std::numeric_limits<double>::quiet_NaN()},
      {"rope.freq_base", std::nullopt},
      {"rope.freq_base", 0.0},
      {"rope.freq_base", std::numeric_limits<double>::infinity()},
      {"expert_count", int64_t{0}},
      {"expert_used_count", int64_t{9}},
      {"expert_used_count", int64_t{0}},
      {"expert_feed_forward_length", std::nullopt},
  };
  for (const auto& [suffix, value] : cases) {
    const std::string key = std::string("qwen3moe.") + suffix;
    const auto config = read("qwen3moe", {{key, value}});
    ASSERT_FALSE(config) << key;
    EXPECT_EQ(config.error().code, ErrorCode::kCorruptFile) << config.error().message;
    EXPECT_EQ(config.error().field, key) << config.error().message;
    EXPECT_THAT(config.error().message, StartsWith("model.gguf: "));
  }
}

TEST_F(AModelConfig, RefusesWhatItWouldComputeWrongly) {
  const std::pair<const char*, MetadataValue> cases[] = {
      {"rope.scaling.type", "longrope"},
      {"rope.scaling.attn_factor", 1.2},
      {"rope.dimension_count", int64_t{4}},
      {"attention.value_length", int64_t{8}},
      {"attention.sliding_window", int64_t{4096}},
      {"expert_shared_count", int64_t{1}},
      {"expert_gating_func", int64_t{2}},
      {"expert_weights_norm", false},
      {"expert_group_count", int64_t{4}},
      {"leading_dense_block_count", int64_t{1}},
      {"nextn_predict_layers", int64_t{1}},
      {"moe_latent_size", int64_t{4}},
      {"logit_scale", 16.0},
  };
  for (const auto& [suffix, value] : cases) {
    const std::string key = std::string("qwen3moe.") + suffix;
    const auto config = read("qwen3moe", {{key, value}});
    ASSERT_FALSE(config) << key;
    EXPECT_EQ(config.error().code, ErrorCode::kUnsupported) << config.error().message;
    EXPECT_EQ(config.error().field, key);
  }
}

TEST_F(AModelConfig, AcceptsTheSameKeysWithHarmlessValues) {
  EXPECT_TRUE(read("qwen3moe", {{"qwen3moe.rope.scaling.type", "none"},
                                {"qwen3moe.rope.scaling.factor", 1.0},
                                {"qwen3moe.rope.dimension_count", int64_t{6}},
                                {"qwen3moe.attention.value_length", int64_t{6}},
                                {"qwen3moe.attention.sliding_window", int64_t{0}},
                                {"qwen3moe.expert_gating_func", int64_t{1}},
                                {"qwen3moe.expert_group_count", int64_t{1}},
                                {"qwen3moe.nextn_predict_layers", int64_t{0}},
                                {"qwen3moe.expert_weights_norm", true}}));
}

TEST_F(AModelConfig, HoldsTheRotaryEmbedding) {
  const RopeConfig plain = read("llama", {}).value().rope;
  EXPECT_EQ(plain.pairing, RopePairing::kNeighbours);
  EXPECT_EQ(plain.scaling, RopeScaling::kNone);
  EXPECT_EQ(plain.n_dims, 6);
  EXPECT_EQ(read("qwen2", {}).value().rope.pairing, RopePairing::kHalves);
  // As converters wrote it before rope.scaling.type existed.
  const RopeConfig linear = read("llama", {{"llama.rope.scale_linear", 4.0}}).value().rope;
  EXPECT_EQ(linear.scaling, RopeScaling::kLinear);
  EXPECT_EQ(linear.factor, 4.0F);
  const RopeConfig yarn = read("qwen3", {{"qwen3.rope.scaling.type", "yarn"},
                                         {"qwen3.rope.scaling.factor", 4.0},
                                         {"qwen3.rope.scaling.original_context_length", int64_t{16}}})
                              .value()
                              .rope;
  EXPECT_EQ(yarn.scaling, RopeScaling::kYarn);
  EXPECT_EQ(yarn.original_context_length, 16);
  EXPECT_EQ(yarn.beta_fast, 32.0F);
  EXPECT_TRUE(yarn.rounds_correction_range);
  EXPECT_EQ(read("qwen3", {{"qwen3.rope.scaling.type", "yarn"}}).error().field,
            "qwen3.rope.scaling.original_context_length");
}

TEST_F(AModelConfig, OfGptOssHasAWindowOnEveryOtherLayer) {
  const Changes experts = {{"gpt-oss.expert_count", int64_t{8}},
                           {"gpt-oss.expert_used_count", int64_t{2}},
                           {"gpt-oss.expert_feed_forward_length", int64_t{12}}};
  EXPECT_EQ(read("gpt-oss", experts).error().field, "gpt-oss.attention.sliding_window");
  Changes all = experts;
  all["gpt-oss.attention.sliding_window"] = int64_t{24};
  const ModelConfig config = read("gpt-oss", all).value();
  EXPECT_EQ(config.window_of_layer(0), 24);
  EXPECT_EQ(config.window_of_layer(1), 0);
  EXPECT_EQ(config.window_of_layer(2), 24);
  EXPECT_TRUE(config.has_attention_bias && config.has_attention_sinks && config.has_expert_bias);
  EXPECT_EQ(config.router_gating, RouterGating::kSoftmaxOfChosen);
  EXPECT_EQ(config.expert_activation, ExpertActivation::kClampedSwiglu);
  EXPECT_FALSE(config.rope.rounds_correction_range);
  EXPECT_EQ(read("qwen3", {}).value().window_of_layer(0), 0);
}

TEST_F(AModelConfig, OfQwen3NextMixesDeltaNetsAndAttention) {
  Changes keys = {{"qwen3next.block_count", int64_t{8}},
                  {"qwen3next.rope.dimension_count", int64_t{2}},
                  {"qwen3next.expert_count", int64_t{8}},
                  {"qwen3next.expert_used_count", int64_t{2}},
                  {"qwen3next.expert_feed_forward_length", int64_t{12}},
                  {"qwen3next.expert_shared_feed_forward_length", int64_t{10}},
                  {"qwen3next.ssm.conv_kernel", int64_t{4}},
                  {"qwen3next.ssm.state_size", int64_t{32}},
                  {"qwen3next.ssm.group_count", int64_t{2}},
                  {"qwen3next.ssm.time_step_rank", int64_t{6}},
                  {"qwen3next.ssm.inner_size", int64_t{192}}};
  const ModelConfig config = read("qwen3next", keys).value();
  EXPECT_EQ(config.mixer(2), Mixer::kGatedDeltaNet);
  EXPECT_EQ(config.mixer(3), Mixer::kAttention);
  EXPECT_EQ(config.place_of_layer(7), 1);
  EXPECT_EQ(config.place_of_layer(4), 3);
  EXPECT_EQ(config.n_layers_with(Mixer::kGatedDeltaNet), 6);
  EXPECT_TRUE(config.has_recurrent_state() && config.has_gated_attention);
  EXPECT_EQ(config.recurrent.conv_channels(), 2 * 2 * 32 + 6 * 32);
  EXPECT_EQ(config.rope.n_dims, 2);
  EXPECT_EQ(config.shared_expert_intermediate_size, 10);
  EXPECT_FALSE(read("qwen3", {}).value().has_recurrent_state());
  const std::pair<const char*, int64_t> contradictions[] = {
      {"qwen3next.rope.dimension_count", 8}, {"qwen3next.ssm.group_count", 4},
      {"qwen3next.ssm.inner_size", 191},     {"qwen3next.full_attention_interval", 0},
      {"qwen3next.ssm.state_size", 24},      {"qwen3next.ssm.conv_kernel", 1}};
  for (const auto& [key, value] : contradictions) {
    Changes changed = keys;
    changed[key] = value;
    EXPECT_EQ(read("qwen3next", changed).error().field, key);
  }
}

MetadataValue by_layer(std::vector<int64_t> values) { return MetadataArray(std::move(values)); }

Changes nemotron_keys() {
  return {{"nemotron_h_moe.block_count", int64_t{5}},
          {"nemotron_h_moe.attention.head_count_kv", by_layer({0, 0, 0, 2, 0})},
          {"nemotron_h_moe.feed_forward_length", by_layer({0, 12, 0, 0, 12})},
          {"nemotron_h_moe.rope.freq_base", std::nullopt},
          {"nemotron_h_moe.rope.dimension_count", int64_t{84}},
          {"nemotron_h_moe.expert_count", int64_t{8}},
          {"nemotron_h_moe.expert_used_count", int64_t{2}},
          {"nemotron_h_moe.expert_feed_forward_length", int64_t{12}},
          {"nemotron_h_moe.expert_shared_feed_forward_length", int64_t{20}},
          {"nemotron_h_moe.expert_shared_count", int64_t{1}},
          {"nemotron_h_moe.expert_weights_scale", 2.5},
          {"nemotron_h_moe.expert_group_count", int64_t{1}},
          {"nemotron_h_moe.ssm.conv_kernel", int64_t{4}},
          {"nemotron_h_moe.ssm.state_size", int64_t{32}},
          {"nemotron_h_moe.ssm.group_count", int64_t{2}},
          {"nemotron_h_moe.ssm.time_step_rank", int64_t{6}},
          {"nemotron_h_moe.ssm.inner_size", int64_t{96}}};
}

TEST_F(AModelConfig, OfNemotronHHasOneBlockPerLayer) {
  const ModelConfig config = read("nemotron_h_moe", nemotron_keys()).value();
  const Mixer expected[] = {Mixer::kMamba2, Mixer::kNone, Mixer::kMamba2, Mixer::kAttention, Mixer::kNone};
  for (int64_t layer = 0; layer < 5; ++layer) EXPECT_EQ(config.mixer(layer), expected[layer]) << layer;
  EXPECT_EQ(config.place_of_layer(2), 1);
  EXPECT_EQ(config.place_of_layer(3), 0);
  EXPECT_EQ(config.n_recurrent_layers(), 2);
  EXPECT_EQ(config.n_kv_heads, 2);
  EXPECT_EQ(config.rope.n_dims, 0) << "attention has no positions, whatever rope.dimension_count says";
  EXPECT_EQ(config.recurrent.head_dim, 16);
  EXPECT_EQ(config.recurrent.conv_channels(), 96 + 2 * 2 * 32);
  EXPECT_EQ(config.expert_activation, ExpertActivation::kSquaredRelu);
  EXPECT_EQ(config.router_gating, RouterGating::kSigmoid);
  EXPECT_EQ(config.expert_weights_scale, 2.5F);
  EXPECT_EQ(config.shared_expert_intermediate_size, 20);
  EXPECT_FALSE(config.has_shared_expert_gate);
  EXPECT_EQ(config.expert_latent_size, 0);
  Changes latent = nemotron_keys();
  latent["nemotron_h_moe.moe_latent_size"] = int64_t{4};
  EXPECT_EQ(read("nemotron_h_moe", latent).value().expert_latent_size, 4);
}

TEST_F(AModelConfig, OfNemotronHRefusesArraysThatContradictByKey) {
  const std::pair<const char*, std::optional<MetadataValue>> contradictions[] = {
      {"attention.head_count_kv", by_layer({0, 0, 0, 2})},
      {"attention.head_count_kv", by_layer({0, 0, 0, -2, 0})},
      {"attention.head_count_kv", by_layer({0, 0, 0, 0, 0})},
      {"attention.head_count_kv", by_layer({1, 0, 0, 2, 0})},
      {"attention.head_count_kv", "two"},
      {"attention.head_count_kv", std::nullopt},
      {"feed_forward_length", by_layer({0, 12, 0, 12, 12})},
      {"feed_forward_length", by_layer({0, 12, 0, 0, 16})},
      {"ssm.inner_size", int64_t{100}},
      {"ssm.state_size", int64_t{24}},
      {"ssm.group_count", int64_t{4}},
      {"ssm.conv_kernel", int64_t{1}},
      {"expert_group_count", int64_t{2}},
  };
  for (const auto& [suffix, value] : contradictions) {
    const std::string key = std::string("nemotron_h_moe.") + suffix;
    Changes changed = nemotron_keys();
    changed[key] = value;
    const auto config = read("nemotron_h_moe", changed);
    ASSERT_FALSE(config) << key;
    EXPECT_EQ(config.error().field, key) << config.error().message;
  }
}

TEST_F(AModelConfig, OfDenseNemotronHHasTheWidthOfItsArray) {
  Changes keys = {{"nemotron_h.block_count", int64_t{3}},
                  {"nemotron_h.attention.head_count_kv", by_layer({0, 2, 0})},
                  {"nemotron_h.feed_forward_length", by_layer({0, 0, 24})}};
  for (const auto& [key, value] : nemotron_keys()) {
    if (key.find(".ssm.") != std::string::npos) keys["nemotron_h" + key.substr(key.find('.'))] = value;
  }
  const ModelConfig config = read("nemotron_h", keys).value();
  EXPECT_FALSE(config.is_moe());
  EXPECT_EQ(config.intermediate_size, 24);
  EXPECT_EQ(config.mixer(2), Mixer::kNone);
}

TEST_F(AModelConfig, OfGlm45HasDenseLayersFirstAndLeavesTheLastOut) {
  const Changes keys = {{"glm4moe.block_count", int64_t{6}},
                        {"glm4moe.nextn_predict_layers", int64_t{1}},
                        {"glm4moe.leading_dense_block_count", int64_t{2}},
                        {"glm4moe.rope.dimension_count", int64_t{2}},
                        {"glm4moe.expert_count", int64_t{8}},
                        {"glm4moe.expert_used_count", int64_t{2}},
                        {"glm4moe.expert_feed_forward_length", int64_t{12}},
                        {"glm4moe.expert_shared_count", int64_t{2}},
                        {"glm4moe.expert_gating_func", int64_t{2}},
                        {"glm4moe.expert_weights_scale", 2.5}};
  const ModelConfig config = read("glm4moe", keys).value();
  EXPECT_EQ(config.n_layers, 5);
  EXPECT_EQ(config.n_unused_layers, 1);
  EXPECT_FALSE(config.is_moe_layer(1));
  EXPECT_TRUE(config.is_moe_layer(2));
  EXPECT_EQ(config.intermediate_size, 16) << "of the dense layers";
  EXPECT_EQ(config.shared_expert_intermediate_size, 24);
  EXPECT_FALSE(config.has_shared_expert_gate);
  EXPECT_EQ(config.router_gating, RouterGating::kSigmoid);
  EXPECT_EQ(config.expert_weights_scale, 2.5F);
  EXPECT_EQ(config.rope.n_dims, 2);
  const std::pair<const char*, int64_t> refused[] = {{"glm4moe.nextn_predict_layers", 6},
                                                     {"glm4moe.leading_dense_block_count", 6},
                                                     {"glm4moe.expert_gating_func", 1},
                                                     {"glm4moe.expert_group_count", 2},
                                                     {"glm4moe.attention.sliding_window", 128}};
  for (const auto& [key, value] : refused) {
    Changes changed = keys;
    changed[key] = value;
    EXPECT_EQ(read("glm4moe", changed).error().field, key);
  }
}

TEST_F(AModelConfig, OfLlamaHasAnOldFilesFrequencyBaseAndMixtralsExperts) {
  EXPECT_EQ(read("llama", {{"llama.rope.freq_base", std::nullopt}}).value().rope_theta, 10000.0F);
  EXPECT_FALSE(read("llama", {{"llama.expert_count", int64_t{0}}}).value().is_moe());
  const ModelConfig mixtral =
      read("llama", {{"llama.expert_count", int64_t{8}}, {"llama.expert_used_count", int64_t{2}}}).value();
  EXPECT_TRUE(mixtral.is_moe());
  EXPECT_EQ(mixtral.moe_intermediate_size, 16);
}

TEST_F(AModelConfig, MustAgreeWithTheEmbedding) {
  EXPECT_EQ(read("qwen3", {}, 16).error().field, "token_embd.weight");
  const std::vector<std::string> tokens(21, "x");
  EXPECT_EQ(read("qwen3", {{"tokenizer.ggml.tokens", MetadataArray(tokens)}}).error().field,
            "tokenizer.ggml.tokens");
}

}  // namespace
}  // namespace halod

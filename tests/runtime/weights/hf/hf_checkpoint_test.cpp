#include "runtime/weights/hf/hf_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <span>

#include "runtime/weights/model_config.h"
#include "runtime/weights/model_summary.h"
#include "tests/support/small_hf_model.h"
#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

void replace_in(std::string& text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
}

class AHuggingFaceFolder : public ::testing::Test {
 protected:
  Result<std::unique_ptr<const Checkpoint>> open(const HfFiles& files) {
    write_files(files, folder_.path());
    return open_checkpoint(folder_.path());
  }
  /// A model whose config.json differs; null instead of an error means that it was taken.
  Error config_error(bool is_moe, std::string_view from, std::string_view to) {
    HfFiles files = small_hf_model(is_moe);
    replace_in(files["config.json"], from, to);
    const auto opened = open(files);
    if (!opened) return opened.error();
    const auto config = read_model_config(**opened);
    return config ? Error{} : config.error();
  }
  TemporaryFolder folder_;
};

TEST_F(AHuggingFaceFolder, IsAModelLikeAGgufFile) {
  const auto file = open(small_hf_model(true)).value();
  const ModelConfig config = read_model_config(*file).value();
  EXPECT_EQ(config.architecture, "qwen3moe");
  EXPECT_EQ(config.name, folder_.path().filename().string());
  EXPECT_EQ(config.vocab_size, 20);
  EXPECT_EQ(config.hidden_size, 8);
  EXPECT_EQ(config.n_layers, 1);
  EXPECT_EQ(config.n_heads, 4);
  EXPECT_EQ(config.n_kv_heads, 2);
  EXPECT_EQ(config.head_dim, 4);
  EXPECT_EQ(config.n_experts, 2);
  EXPECT_EQ(config.n_experts_per_token, 1);
  EXPECT_EQ(config.moe_intermediate_size, 12);
  EXPECT_EQ(config.context_length, 64);
  EXPECT_EQ(config.rope_theta, 1e4f);
  EXPECT_EQ(config.rms_norm_eps, 1e-6f);

  std::set<std::string> names;
  for (const TensorInfo& tensor : file->tensors()) names.insert(tensor.name);
  EXPECT_EQ(names, (std::set<std::string>{
                       "token_embd.weight", "output_norm.weight", "output.weight", "blk.0.attn_norm.weight",
                       "blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight",
                       "blk.0.attn_output.weight", "blk.0.attn_q_norm.weight", "blk.0.attn_k_norm.weight",
                       "blk.0.ffn_norm.weight", "blk.0.ffn_gate_inp.weight", "blk.0.ffn_gate_exps.weight",
                       "blk.0.ffn_up_exps.weight", "blk.0.ffn_down_exps.weight"}));
  EXPECT_EQ(file->find_tensor("blk.0.attn_q.weight")->shape, (std::vector<int64_t>{16, 8}));
  EXPECT_EQ(file->find_tensor("blk.0.ffn_down_exps.weight")->shape, (std::vector<int64_t>{2, 8, 12}));

  const ModelSummary summary = summarise_model(*file).value();
  EXPECT_EQ(summary.n_experts, 2);
  EXPECT_EQ(summary.tensor_bytes, 2 * summary.n_parameters) << "all BF16";
}

TEST_F(AHuggingFaceFolder, GathersTheExpertsOfALayerInTheirOrder) {
  const auto file = open(small_hf_model(true, true)).value();
  const SafetensorsFiles files = SafetensorsFiles::open(folder_.path()).value();
  const TensorInfo& stack = *file->find_tensor("blk.0.ffn_up_exps.weight");
  std::vector<std::byte> expected;
  for (const char* expert : {"0", "1"}) {
    const SafetensorsTensor& tensor =
        *files.find("model.layers.0.mlp.experts." + std::string(expert) + ".up_proj.weight");
    std::vector<std::byte> bytes(tensor.size_bytes);
    files.read(tensor, 0, bytes).value();
    expected.insert(expected.end(), bytes.begin(), bytes.end());
  }
  ASSERT_EQ(stack.size_bytes, expected.size());
  // From anywhere to anywhere, over the border of the two as well.
  for (size_t begin = 0; begin < expected.size(); begin += 50) {
    for (size_t end = begin; end <= expected.size(); end += 31) {
      std::vector<std::byte> bytes(end - begin);
      ASSERT_TRUE(file->read(stack, begin, bytes));
      EXPECT_TRUE(
          std::equal(bytes.begin(), bytes.end(), expected.begin() + static_cast<std::ptrdiff_t>(begin)));
    }
  }
  file->prefetch(stack, expected.size() + 4096, 1 << 20);  // past its end: nothing happens
}

TEST_F(AHuggingFaceFolder, SharesTheEmbeddingWithTheOutputWhereItsConfigurationSaysSo) {
  HfFiles files = small_hf_model(false);
  EXPECT_NE(open(files).value()->find_tensor("output.weight"), nullptr);
  replace_in(files["config.json"], R"("tie_word_embeddings": false)", R"("tie_word_embeddings": true)");
  EXPECT_EQ(open(files).value()->find_tensor("output.weight"), nullptr) << "though the file has one";
  replace_in(files["model.safetensors"], "lm_head.weight", "lm_heap.weight");
  EXPECT_EQ(open(files).error().field, "lm_heap.weight");
}

TEST_F(AHuggingFaceFolder, ReadsAQuantisedOutputThatItsConfigurationDoesNotMention) {
  HfFiles files = small_hf_model(false);
  replace_in(files["config.json"], R"("tie_word_embeddings": false, )",
             R"("quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 32}, )");
  SafetensorsWriter writer;
  writer.add("lm_head.qweight", "I32", {8, 16});
  writer.add("lm_head.qzeros", "I32", {2, 2});
  writer.add("lm_head.scales", "F16", {2, 16});
  writer.add("model.embed_tokens.weight", "BF16", {16, 64});
  files["model.safetensors"] = writer.bytes();
  const auto file = open(files).value();
  ASSERT_NE(file->find_tensor("output.weight"), nullptr);
  EXPECT_EQ(file->find_tensor("output.weight")->format, Format::kInt4G32);
  EXPECT_EQ(file->find_tensor("output.weight")->shape, (std::vector<int64_t>{16, 64}));
}

TEST_F(AHuggingFaceFolder, SaysWhatItsWeightsAreBeforeTheyAreExpanded) {
  HfFiles files = small_hf_model(false);
  replace_in(files["config.json"], R"("tie_word_embeddings": false, )",
             R"("quantization_config": {"quant_method": "fp8", "weight_block_size": [32, 48]}, )");
  SafetensorsWriter writer;
  writer.add("lm_head.weight", "F8_E4M3", {16, 64});
  writer.add("lm_head.weight_scale_inv", "F32", {1, 2});
  writer.add("model.embed_tokens.weight", "BF16", {16, 64});
  files["model.safetensors"] = writer.bytes();
  const ModelSummary summary = summarise_model(*open(files).value()).value();
  ASSERT_EQ(summary.groups.size(), 2U);
  for (const TensorGroup& group : summary.groups) {
    EXPECT_EQ(group.format, group.kind == "output" ? "FP8 as BF16" : "BF16");
    EXPECT_EQ(group.bytes, 16U * 64 * 2) << "as it is in memory";
  }
}

TEST_F(AHuggingFaceFolder, NamesTheTensorThatIsMissingInTheFilesWords) {
  const auto file = open(small_hf_model(true)).value();
  EXPECT_EQ(file->name_in_files("blk.7.attn_q.weight"), "model.layers.7.self_attn.q_proj.weight");
  EXPECT_EQ(file->name_in_files("blk.7.ffn_up_exps.weight"), "model.layers.7.mlp.experts.0.up_proj.weight");
  EXPECT_EQ(file->name_in_files("output_norm.weight"), "model.norm.weight");
  EXPECT_EQ(file->name_in_files("blk.7.nothing.weight"), "blk.7.nothing.weight");
}

TEST_F(AHuggingFaceFolder, RefusesWhatItsConfigurationAsksForInItsOwnWords) {
  struct Case {
    bool is_moe;
    const char* from;
    const char* to;
    ErrorCode code;
    const char* field;
  };
  constexpr auto kCorrupt = ErrorCode::kCorruptFile;
  constexpr auto kUnsupported = ErrorCode::kUnsupported;
  const Case cases[] = {
      {false, R"("model_type": "qwen3")", R"("model_type": "qwen9")", kUnsupported, "model_type"},
      {false, R"("model_type": "qwen3")", R"("model_type": 3)", kCorrupt, "model_type"},
      {false, R"("hidden_size": 8)", R"("hidden_size": "8")", kCorrupt, "hidden_size"},
      {false, R"("hidden_size": 8)", R"("hidden_size": -8)", kCorrupt, "hidden_size"},
      {false, R"("hidden_size": 8)", R"("hidden_size": 16)", kCorrupt, "model.embed_tokens.weight"},
      {false, R"("num_hidden_layers": 1)", R"("x": 1)", kCorrupt, "num_hidden_layers"},
      {false, R"("head_dim": 4)", R"("head_dim": 5)", kCorrupt, "head_dim"},
      {false, R"("rope_theta": 10000.0)", R"("rope_theta": 0)", kCorrupt, "rope_theta"},
      {false, R"("hidden_act": "silu")", R"("hidden_act": "gelu")", kUnsupported, "hidden_act"},
      {false, R"("attention_bias": false)", R"("attention_bias": true)", kUnsupported, "attention_bias"},
      {false, R"("use_sliding_window": false)", R"("use_sliding_window": true)", kUnsupported,
       "use_sliding_window"},
      {false, R"("rope_scaling": null)", R"("rope_scaling": {"rope_type": "longrope", "factor": 2.0})",
       kUnsupported, "rope_scaling.rope_type"},
      {false, R"("rope_scaling": null)", R"("rope_scaling": {"type": "dynamic", "factor": 2.0})",
       kUnsupported, "rope_scaling.type"},
      {false, R"("rope_scaling": null)", R"("rope_scaling": {"rope_type": "yarn", "beta_fast": 16})",
       kUnsupported, "rope_scaling.beta_fast"},
      {false, R"("rope_scaling": null)", R"("rope_scaling": 4)", kCorrupt, "rope_scaling"},
      {true, R"("norm_topk_prob": true)", R"("norm_topk_prob": false)", kUnsupported, "norm_topk_prob"},
      {true, R"("norm_topk_prob": true)", R"("x": true)", kUnsupported, "norm_topk_prob"},
      {true, R"("decoder_sparse_step": 1)", R"("decoder_sparse_step": 2)", kUnsupported,
       "decoder_sparse_step"},
      {true, R"("mlp_only_layers": [])", R"("mlp_only_layers": [0])", kUnsupported, "mlp_only_layers"},
      {true, R"("num_experts_per_tok": 1)", R"("num_experts_per_tok": 3)", kCorrupt, "num_experts_per_tok"},
      {true, R"("vocab_size": 20)", R"("quantization_config": {"quant_method": "bitsandbytes"})",
       kUnsupported, "quantization_config.quant_method"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.to);
    const Error error = config_error(c.is_moe, c.from, c.to);
    EXPECT_EQ(error.code, c.code) << error.message;
    EXPECT_EQ(error.field, c.field) << error.message;
    EXPECT_THAT(error.message, AllOf(HasSubstr("config.json: "), HasSubstr(c.field)));
  }
}

TEST_F(AHuggingFaceFolder, TakesWhatChangesNothing) {
  constexpr std::pair<const char*, const char*> kChanges[] = {
      {R"("rope_scaling": null)", R"("rope_scaling": {"rope_type": "default"})"},
      {R"("rope_theta": 10000.0)", R"("rope_parameters": {"rope_type": "default", "rope_theta": 10000.0})"},
      {R"("rope_theta": 10000.0)", R"("rope_theta": 10000)"},
      {R"("attention_bias": false,)", ""},
      {R"("sliding_window": null)", R"("sliding_window": 32768)"},
  };
  for (const auto& [from, to] : kChanges) {
    const Error error = config_error(true, from, to);
    EXPECT_EQ(error.message, "") << to;
  }
}

TEST_F(AHuggingFaceFolder, RefusesTensorsThatNoLayerOfItsFamilyReads) {
  for (const char* name :
       {"model.layers.0.self_attn.q_proj.bias", "model.layers.0.mlp.gate_proj.weight",
        "model.layers.0.mlp.experts.2.x_proj.weight", "model.layers.01.input_layernorm.weight",
        "model.layers.x.input_layernorm.weight", "input_layernorm.weight", "score.weight",
        "model.layers.0.lm_head.weight", "model.layers.0.self_attn.q_proj.weight_scale_inv"}) {
    SafetensorsWriter writer;
    writer.add(name, "BF16", {8});
    HfFiles files = small_hf_model(true, true);
    // A third shard, as far as the index goes.
    files["model-extra.safetensors"] = writer.bytes();
    replace_in(files["model.safetensors.index.json"], R"("weight_map":{)",
               R"("weight_map":{")" + std::string(name) + R"(":"model-extra.safetensors",)");
    const auto opened = open(files);
    ASSERT_FALSE(opened) << name;
    EXPECT_EQ(opened.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(opened.error().field, name);
    EXPECT_THAT(opened.error().message, HasSubstr("model-extra.safetensors"));
  }
}

TEST_F(AHuggingFaceFolder, RefusesExpertsThatAreNotAllThereOrNotAlike) {
  HfFiles files = small_hf_model(true);
  replace_in(files["model.safetensors"], "experts.0.up_proj", "experts.2.up_proj");
  const Error gap = open(files).error();
  EXPECT_EQ(gap.code, ErrorCode::kCorruptFile);
  EXPECT_THAT(gap.message, AllOf(HasSubstr("experts.1.up_proj"), HasSubstr("expert 0")));

  files = small_hf_model(true);
  replace_in(files["model.safetensors"], R"(experts.1.up_proj.weight":{"dtype":"BF16")",
             R"(experts.1.up_proj.weight":{"dtype":"F16" )");
  const Error unlike = open(files).error();
  EXPECT_EQ(unlike.code, ErrorCode::kCorruptFile);
  EXPECT_THAT(unlike.message, AllOf(HasSubstr("experts.1.up_proj"), HasSubstr("F16"), HasSubstr("BF16")));
}

TEST_F(AHuggingFaceFolder, OfLlamaHasHeadsAndFrequenciesAsGgufFilesDo) {
  SafetensorsWriter writer;
  std::vector<float> values(8 * 2);  // two heads of four rows; row r holds r
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i / 2);
  const std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  writer.add("model.layers.0.self_attn.q_proj.weight", "F32", {8, 2}, bytes);
  writer.add("model.layers.0.self_attn.v_proj.weight", "F32", {8, 2}, bytes);
  const auto file = open({{"model.safetensors", writer.bytes()}, {"config.json", R"({"model_type": "llama",
      "hidden_size": 2, "num_attention_heads": 2, "head_dim": 4, "num_hidden_layers": 1, "rope_theta": 500000.0,
      "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 8192}})"}})
                        .value();
  const auto first_of_rows = [&](const char* name, uint64_t first, size_t n) {
    std::vector<float> rows(2 * n);
    file->read(*file->find_tensor(name), first * 8, std::as_writable_bytes(std::span(rows))).value();
    std::vector<float> found;
    for (size_t i = 0; i < n; ++i) found.push_back(rows[2 * i]);
    return found;
  };
  EXPECT_EQ(first_of_rows("blk.0.attn_v.weight", 0, 8), (std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(first_of_rows("blk.0.attn_q.weight", 0, 8), (std::vector<float>{0, 2, 1, 3, 4, 6, 5, 7}));
  EXPECT_EQ(first_of_rows("blk.0.attn_q.weight", 1, 1), (std::vector<float>{2}));
  EXPECT_EQ(first_of_rows("blk.0.attn_q.weight", 3, 3), (std::vector<float>{3, 4, 6}));

  // Frequencies 1 and 1 / sqrt(500000): a wavelength of 6.3 stays; one of 4443 lies between 2048 and 8192.
  std::vector<float> divisors(2);
  file->read(*file->find_tensor("rope_freqs.weight"), 0, std::as_writable_bytes(std::span(divisors))).value();
  EXPECT_EQ(divisors[0], 1.0F);
  const double share = (8192 / (2 * 3.14159265358979 * std::sqrt(500000.0)) - 1) / 3;
  EXPECT_NEAR(static_cast<double>(divisors[1]), 1 / ((1 - share) / 8 + share), 1e-5);
}

TEST_F(AHuggingFaceFolder, ListsWhatItCannotReadWhenItIsOnlyInspected) {
  HfFiles files = small_hf_model(false);
  replace_in(files["model.safetensors"], R"(k_proj.weight":{"dtype":"BF16")",
             R"(k_proj.weight":{"dtype":"I16" )");
  const auto opened = open(files);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(opened.error().message, AllOf(HasSubstr("I16"), HasSubstr("k_proj")));
  const auto inspected = open_checkpoint_to_inspect(folder_.path()).value();
  ASSERT_EQ(inspected->unsupported_tensors().size(), 1U);
  EXPECT_EQ(inspected->unsupported_tensors()[0].format, "I16");

  replace_in(files["config.json"], R"("model_type": "qwen3")", R"("model_type": "other")");
  EXPECT_EQ(open(files).error().field, "model_type");
  const auto unknown = open_checkpoint_to_inspect(folder_.path()).value();
  EXPECT_EQ(summarise_model(*unknown).value().architecture, "other");
  EXPECT_NE(unknown->find_tensor("model.norm.weight"), nullptr);
  EXPECT_EQ(read_model_config(*unknown).error().field, "model_type");
}

TEST_F(AHuggingFaceFolder, IsSummedUpWhateverItsTensorsAre) {
  SafetensorsWriter writer;
  writer.add("token_embd.weight", "F16", {0, 8});
  writer.add("output.weight", "F16", {2, 8});
  writer.add("scalar", "F32", {});
  write_files({{"model.safetensors", writer.bytes()}, {"config.json", R"({"model_type": "other"})"}},
              folder_.path());
  const auto file = open_checkpoint_to_inspect(folder_.path()).value();
  EXPECT_EQ(summarise_model(*file).value().n_parameters, 17U);
}

TEST_F(AHuggingFaceFolder, IsToldFromOtherFolders) {
  EXPECT_FALSE(HfCheckpoint::is_model(folder_.path()));
  HfFiles files = small_hf_model(false);
  const std::string weights = files.at("model.safetensors");
  files.erase("model.safetensors");
  write_files(files, folder_.path());
  EXPECT_FALSE(HfCheckpoint::is_model(folder_.path())) << "no weights";
  folder_.write_file("model.safetensors", weights);
  EXPECT_TRUE(HfCheckpoint::is_model(folder_.path()));
}

}  // namespace
}  // namespace halod

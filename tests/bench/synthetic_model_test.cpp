#include "bench/synthetic_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <set>
#include <sstream>

#include "runtime/weights/gguf_file.h"
#include "runtime/weights/model_config.h"
#include "runtime/weights/tokenizer_data.h"
#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream content;
  content << stream.rdbuf();
  return content.str();
}

SyntheticModelOptions tiny_options(std::string_view shape, std::string_view recipe) {
  const ModelShape* row = find_model_shape(shape);
  return {.shape = *row, .recipe = *find_format_recipe(recipe), .n_layers = row->default_layers};
}

std::vector<float> weights_of(const GgufFile& file, const std::string& name) {
  const TensorInfo* tensor = file.find_tensor(name);
  EXPECT_NE(tensor, nullptr) << name;
  if (tensor == nullptr) return {};
  std::vector<std::byte> bytes(static_cast<size_t>(tensor->size_bytes));
  EXPECT_TRUE(file.read(*tensor, 0, bytes));
  std::vector<float> weights(static_cast<size_t>(tensor->n_elements()));
  traits(tensor->format).dequantize(bytes.data(), tensor->n_elements(), weights.data());
  return weights;
}

using ShapeAndRecipe = std::tuple<std::string_view, std::string_view>;
class EveryTinyModel : public ::testing::TestWithParam<ShapeAndRecipe> {};

TEST_P(EveryTinyModel, IsReadBackAsItsShape) {
  const auto [shape, recipe] = GetParam();
  const SyntheticModelOptions options = tiny_options(shape, recipe);
  const TemporaryFolder folder;
  const auto path = folder.path() / "model.gguf";
  const SyntheticModel model(options);
  ASSERT_TRUE(model.write(path));
  EXPECT_EQ(std::filesystem::file_size(path), model.file_bytes());
  const GgufFile file = GgufFile::open(path).value();
  const ModelConfig config = read_model_config(file).value();
  EXPECT_EQ(config.hidden_size, options.shape.config.hidden_size);
  EXPECT_EQ(config.n_layers, options.n_layers);
  EXPECT_EQ(config.head_dim, options.shape.config.head_dim);
  EXPECT_EQ(config.n_experts, options.shape.config.n_experts);
  EXPECT_EQ(config.vocab_size, options.shape.config.vocab_size);
  EXPECT_EQ(file.find_tensor("output.weight") == nullptr, options.shape.has_tied_output);
  EXPECT_EQ(file.find_tensor("blk.0.attn_q.weight")->format, options.recipe.format);
  const TokenizerData tokenizer = read_tokenizer_data(file.metadata()).value();
  EXPECT_EQ(static_cast<int64_t>(tokenizer.tokens.size()), config.vocab_size);
  EXPECT_FALSE(tokenizer.chat_template.empty());
}

TEST_P(EveryTinyModel, HasWeightsThatKeepActivationsFinite) {
  const auto [shape, recipe] = GetParam();
  const TemporaryFolder folder;
  const auto path = folder.path() / "model.gguf";
  ASSERT_TRUE(SyntheticModel(tiny_options(shape, recipe)).write(path));
  const GgufFile file = GgufFile::open(path).value();
  const std::vector<float> weights = weights_of(file, "blk.1.attn_output.weight");
  double sum = 0;
  double squares = 0;
  for (const float weight : weights) {
    ASSERT_TRUE(std::isfinite(weight));
    sum += weight;
    squares += static_cast<double>(weight) * weight;
  }
  const auto n = static_cast<double>(weights.size());
  // 131,072 weights of variance 1 / 512: the mean is within 5 standard errors, and of what few values are
  // left one side may be nearer (IQ1: by a twentieth of the deviation). What is rounded to the nearest of few
  // values loses the rounding's error of its variance, which each bit per weight quarters (measured: a fifth
  // for IQ1 and TQ, 4 % for MXFP4).
  const FormatTraits& format = traits(find_format_recipe(recipe)->format);
  const double bits = 8.0 * static_cast<double>(format.row_bytes(256)) / 256;
  EXPECT_NEAR(sum / n, 0, 5 / std::sqrt(512 * n) + (bits < 2 ? 0.08 / std::sqrt(512) : 0));
  EXPECT_NEAR(squares / n * 512, 1, 0.03 + 4 * std::pow(4.0, -bits));
  for (const float weight : weights_of(file, "output_norm.weight")) EXPECT_NEAR(weight, 1, 0.5);
}

std::vector<std::string_view> recipe_names() {
  std::vector<std::string_view> names;
  for (const FormatRecipe& recipe : format_recipes()) names.push_back(recipe.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Shapes, EveryTinyModel,
                         ::testing::Combine(::testing::Values("tiny-moe", "tiny-dense"),
                                            ::testing::ValuesIn(recipe_names())),
                         [](const auto& row) {
                           std::string name(std::get<0>(row.param));
                           std::erase(name, '-');
                           return name + "_" + std::string(std::get<1>(row.param));
                         });

TEST(ASyntheticModel, IsTheSameForTheSameSeedWhateverTheThreads) {
  const TemporaryFolder folder;
  SyntheticModelOptions options = tiny_options("tiny-moe", "Q4_K_M");
  options.n_threads = 1;
  ASSERT_TRUE(SyntheticModel(options).write(folder.path() / "one"));
  options.n_threads = 4;
  ASSERT_TRUE(SyntheticModel(options).write(folder.path() / "four"));
  options.seed = 2;
  ASSERT_TRUE(SyntheticModel(options).write(folder.path() / "other"));
  EXPECT_TRUE(read_file(folder.path() / "one") == read_file(folder.path() / "four"));
  EXPECT_FALSE(read_file(folder.path() / "one") == read_file(folder.path() / "other"));
}

TEST(ASyntheticModel, MixesFormatsAsLlamaCppDoes) {
  SyntheticModelOptions options = {
      .shape = *find_model_shape("tiny-moe"), .recipe = *find_format_recipe("Q4_K_M"), .n_layers = 16};
  const SyntheticModel model(options);
  std::set<int> important;
  for (const TensorInfo& tensor : model.writer().tensors()) {
    if (tensor.format != Format::kQ6_K || tensor.name == "output.weight") continue;
    int layer_idx = -1;
    ASSERT_EQ(std::sscanf(tensor.name.c_str(), "blk.%d.", &layer_idx), 1) << tensor.name;
    EXPECT_TRUE(tensor.name.ends_with("attn_v.weight") || tensor.name.ends_with("ffn_down_exps.weight"))
        << tensor.name;
    important.insert(layer_idx);
  }
  EXPECT_EQ(important, (std::set<int>{0, 1, 4, 7, 10, 13, 14, 15}));
}

TEST(ASyntheticModel, GivesExpertsTheirOwnFormat) {
  const SyntheticModel model(
      {.shape = *find_model_shape("tiny-moe"), .recipe = *find_format_recipe("MXFP4_MOE"), .n_layers = 2});
  for (const TensorInfo& tensor : model.writer().tensors()) {
    if (tensor.shape.size() == 1 || tensor.name.ends_with("ffn_gate_inp.weight")) continue;
    EXPECT_EQ(tensor.format, tensor.shape.size() == 3 ? Format::kMXFP4 : Format::kQ8_0) << tensor.name;
  }
}

TEST(ASyntheticModel, CountsOnlyTheBytesThatDecodingReads) {
  const SyntheticModelOptions options = {
      .shape = *find_model_shape("30b-a3b"), .recipe = *find_format_recipe("Q8_0"), .n_layers = 1};
  const SyntheticModel model(options);
  const double q8_bytes = 34.0 / 32;
  const double attention = 2048.0 * 128 * (32 + 4 + 4 + 32) * q8_bytes;
  const double experts = 8 * 3 * 2048.0 * 768 * q8_bytes;
  const double output = 151936.0 * 2048 * q8_bytes;
  const double norms_and_router = 4.0 * (3 * 2048 + 2 * 128 + 128 * 2048);
  const double embedding_row = 2048 * q8_bytes;
  EXPECT_EQ(static_cast<double>(model.active_bytes_per_token()),
            attention + experts + output + norms_and_router + embedding_row);
}

TEST(ASyntheticModel, LeavesNothingBehindWhenItCannotBeWritten) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "no such folder" / "model.gguf";
  const auto written = SyntheticModel(tiny_options("tiny-moe", "Q4_K_M")).write(path);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kIo);
  EXPECT_NE(written.error().message.find("no such folder"), std::string::npos);
}

TEST(TheSyntheticVocabulary, HasDistinctTokensAndMergesOfEarlierOnes) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "model.gguf";
  ASSERT_TRUE(SyntheticModel(tiny_options("tiny-dense", "Q8_0")).write(path));
  const TokenizerData data = read_tokenizer_data(GgufFile::open(path).value().metadata()).value();
  std::set<std::string> known;
  for (size_t i = 0; i < 256; ++i) known.insert(data.tokens[i]);
  EXPECT_EQ(known.size(), 256u);
  for (size_t i = 0; i < data.merges.size(); ++i) {
    const size_t space = data.merges[i].find(' ', 1);
    const std::string left = data.merges[i].substr(0, space);
    const std::string right = data.merges[i].substr(space + 1);
    EXPECT_TRUE(known.contains(left) && known.contains(right)) << data.merges[i];
    EXPECT_EQ(data.tokens[256 + i], left + right);
    EXPECT_TRUE(known.insert(left + right).second) << data.merges[i];
  }
  ASSERT_TRUE(data.eos.has_value());
  EXPECT_EQ(data.tokens[static_cast<size_t>(to_int(*data.eos))], "<|im_end|>");
}

}  // namespace
}  // namespace halod

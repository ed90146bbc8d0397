// Whole models through the GPU backend, its kernels running on the lanes of the CPU, against the CPU backend.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <string>
#include <vector>

#include "bench/loaded_model.h"
#include "kernels/hip/weight_layout.h"
#include "runtime/backend/hip/hip_backend.h"
#include "runtime/backend/hip/lanes_device.h"
#include "tests/runtime/models/hip_models.h"
#include "tests/runtime/models/temporary_model.h"
#include "tests/support/random_values.h"

namespace halod {
namespace {

using bench::LoadedModel;
using test::kBound;
using test::load;
using test::random_ids;
using test::row_errors;
using test::TemporaryModel;

struct Case {
  const char* shape;
  const char* recipe;
};
std::string name_of(const testing::TestParamInfo<Case>& test) {
  std::string name = std::string(test.param.shape) + "_" + test.param.recipe;
  std::erase(name, '-');
  return name;
}
class EveryModelOnTheGpu : public testing::TestWithParam<Case> {};

TEST_P(EveryModelOnTheGpu, GivesTheLogitsOfTheCpu) {
  const TemporaryModel file(GetParam().shape, GetParam().recipe);
  LoadedModel gpu = load(file.path(), "hip-lanes"), cpu = load(file.path(), "cpu");
  EXPECT_EQ(gpu.backend().name(), "hip");
  const std::vector<TokenId> ids = random_ids(13, cpu.config().vocab_size, 3);
  EXPECT_LT(test::nmse(gpu.append(ids, 0, 64), cpu.append(ids, 0, 64)), kBound);
}

TEST_P(EveryModelOnTheGpu, GivesTheSameBitsForAnyChunkOfThePrompt) {
  const TemporaryModel file(GetParam().shape, GetParam().recipe);
  LoadedModel gpu = load(file.path(), "hip-lanes");
  const std::vector<TokenId> ids = random_ids(18, gpu.config().vocab_size, 5);
  const std::vector<float> at_once = gpu.append(ids, 15, 64);
  for (const int64_t chunk : {1, 5, 8}) {
    gpu.rewind();
    EXPECT_EQ(gpu.append(ids, 15, chunk), at_once) << "in chunks of " << chunk;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EveryModelOnTheGpu,
                         testing::Values(Case{"tiny-moe", "F32"}, Case{"tiny-moe", "Q4_K_M"},
                                         Case{"tiny-moe", "Q8_0"}, Case{"tiny-moe", "IQ2_XXS"},
                                         Case{"tiny-dense", "Q4_0"}, Case{"tiny-dense", "F16"},
                                         Case{"tiny-llama", "Q4_0"}, Case{"tiny-qwen2", "Q8_0"},
                                         Case{"tiny-gpt-oss", "MXFP4_MOE"}, Case{"tiny-minimax-m2", "Q4_K_M"},
                                         Case{"tiny-qwen3next", "Q8_0"}, Case{"tiny-qwen3next", "F32"},
                                         Case{"tiny-qwen35moe", "Q4_K_M"}),
                         name_of);

class EveryLongPromptOnTheGpu : public testing::TestWithParam<Case> {};

/// Long enough that products go by tiles, and rows are no multiple of its tiles.
TEST_P(EveryLongPromptOnTheGpu, GivesTheLogitsOfTheCpuAndTheSameBitsInAnyChunks) {
  const TemporaryModel file(GetParam().shape, GetParam().recipe);
  LoadedModel gpu = load(file.path(), "hip-lanes"), cpu = load(file.path(), "cpu");
  const std::vector<TokenId> ids = random_ids(40, cpu.config().vocab_size, 13);
  const std::vector<float> at_once = gpu.append(ids, 20, 64);
  EXPECT_LT(test::nmse(at_once, cpu.append(ids, 20, 64)), kBound);
  // By tiles or through decode's kernels, together or one after the other.
  for (const int64_t chunk : {7, 23}) {
    gpu.rewind();
    EXPECT_EQ(gpu.append(ids, 20, chunk), at_once) << "in chunks of " << chunk;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EveryLongPromptOnTheGpu,
                         testing::Values(Case{"tiny-moe", "Q4_K_M"}, Case{"tiny-moe", "F32"},
                                         Case{"tiny-dense", "Q4_0"}, Case{"tiny-gpt-oss", "MXFP4_MOE"},
                                         Case{"tiny-minimax-m2", "Q8_0"}, Case{"tiny-qwen3next", "Q8_0"},
                                         Case{"tiny-qwen35moe", "Q4_K_M"}),
                         name_of);

class EveryBatchOnTheGpu : public testing::TestWithParam<Case> {};

TEST_P(EveryBatchOnTheGpu, GivesASequenceTheSameBitsAsAlone) {
  const TemporaryModel file(GetParam().shape, GetParam().recipe);
  test::expect_same_bits_alone_and_in_a_batch(load(file.path(), "hip-lanes"));
}

INSTANTIATE_TEST_SUITE_P(Models, EveryBatchOnTheGpu,
                         testing::Values(Case{"tiny-minimax-m2", "Q8_0"}, Case{"tiny-qwen3next", "Q8_0"},
                                         Case{"tiny-qwen35moe", "Q4_K_M"}),
                         name_of);

TEST(TheGpuBackend, FindsTheBestTokenOnTheDevice) {
  const TemporaryModel file("tiny-moe", "Q8_0");
  LoadedModel gpu = load(file.path(), "hip-lanes");
  const std::vector<TokenId> prompt = random_ids(5, gpu.config().vocab_size, 7);
  const std::vector<float> logits = gpu.append(prompt);
  gpu.rewind(4);
  EXPECT_EQ(gpu.append_greedily(prompt.back()), LoadedModel::argmax(logits));
}

TEST(TheGpuBackend, FindsTheBestTokensOnTheDevice) {
  const TemporaryModel file("tiny-moe", "Q8_0");
  LoadedModel gpu = load(file.path(), "hip-lanes");
  const std::vector<TokenId> prompt = random_ids(5, gpu.config().vocab_size, 7);
  const std::vector<float> logits = gpu.append(prompt);
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::ranges::stable_sort(ids, std::ranges::greater(),
                           [&](int32_t id) { return logits[static_cast<size_t>(id)]; });
  for (const int32_t n : {2, 20, 64, 65}) {
    gpu.rewind(4);
    const std::vector<TokenLogit> best = gpu.append_for_best(prompt.back(), n);
    ASSERT_EQ(best.size(), static_cast<size_t>(n));
    for (size_t i = 0; i < best.size(); ++i) {
      EXPECT_EQ(to_int(best[i].token), ids[i]) << i;
      EXPECT_EQ(best[i].logit, logits[static_cast<size_t>(ids[i])]) << i;
    }
  }
}

TEST(TheGpuBackend, DoesWhatAnyModelNeeds) {
  const auto gpu = hip::HipBackend::open_untested(hip::make_lanes_device(), 1);
  for (int feature = 0; feature <= static_cast<int>(ModelFeature::kColumnOrder); ++feature)
    EXPECT_TRUE(gpu->supports(static_cast<ModelFeature>(feature)))
        << to_string(static_cast<ModelFeature>(feature));
}

TEST(TheGpuBackend, NamesTheRecurrentLayersThatItHasNoKernelsFor) {
  const auto gpu = hip::HipBackend::open_untested(hip::make_lanes_device(), 1);
  RecurrentShape shape{.n_layers = 1, .conv_channels = 512, .conv_kernel = 4, .n_heads = 4, .head_dim = 128};
  EXPECT_TRUE(gpu->allocate_states(shape, 2));
  RecurrentShape mamba2 = shape;
  mamba2.head_dim = 80;
  mamba2.key_dim = 128;
  EXPECT_TRUE(gpu->allocate_states(mamba2, 2));
  struct Unknown {
    int head_dim, key_dim, taps;
  };
  for (const auto& [head_dim, key_dim, taps] :
       {Unknown{96, 0, 4}, {128, 0, 3}, {72, 128, 4}, {64, 512, 4}, {64, 128, 3}}) {
    shape.head_dim = head_dim;
    shape.key_dim = key_dim;
    shape.conv_kernel = taps;
    const auto allocated = gpu->allocate_states(shape, 2);
    ASSERT_FALSE(allocated);
    EXPECT_EQ(allocated.error().code, ErrorCode::kUnsupported);
    EXPECT_NE(allocated.error().message.find(
                  fmt::format("heads of {} values, states of {} rows and convolutions over {}", head_dim,
                              shape.matrix_rows(), taps)),
              std::string::npos)
        << allocated.error().message;
  }
}

/// "Reverse: apple river stone cloud" and its answer, token by token: the worst one's logits are off by an
/// NMSE of 2.9e-4 (the median's by 6e-5), and by as much from f32. Over whole prompts of this kind it was
/// 3e-5 to 4e-4. Single tokens can be off by more, on the CPU too, where two experts nearly tie: of 30 tokens
/// of the demo's "Why is MoE faster on bandwidth-limited hardware?" three were over 1e-3, the worst 2.0e-2
/// where the CPU's own distance from f32 was 1.2e-2; of random tokens, which the model was not trained
/// on, 1.1e-3.
TEST(TheGpuBackend, RunsTheDemoModel) {
  const std::filesystem::path path = std::filesystem::path(HALOD_SOURCE_DIR) / "models/demo-moe-Q8_0.gguf";
  LoadedModel gpu = load(path, "hip-lanes"), cpu = load(path, "cpu");
  std::vector<TokenId> prompt, answer;
  for (const int32_t id : {1501, 270, 198, 599, 25, 1105, 1131, 1140, 960, 1502, 198, 1501, 268, 198})
    prompt.push_back(TokenId{id});
  for (const int32_t id : {1012, 1140, 1131, 1105, 1502}) answer.push_back(TokenId{id});
  const int64_t vocab_size = cpu.config().vocab_size;
  const auto expect_near = [&](const std::vector<float>& ours, const std::vector<float>& theirs) {
    for (const double error : row_errors(ours, theirs, vocab_size)) EXPECT_LT(error, kBound);
  };
  expect_near(gpu.append(prompt, 0, 64), cpu.append(prompt, 0, 64));
  for (const TokenId token : answer) expect_near(gpu.append({&token, 1}), cpu.append({&token, 1}));
}

/// The kit's models that one of its manifests lists; empty without a kit.
boost::json::array models_of_kit(const char* manifest) {
  std::ifstream file(std::filesystem::path(HALOD_CONFORMANCE_DIR) / manifest, std::ios::binary);
  if (!file) return {};
  return boost::json::parse(std::string(std::istreambuf_iterator<char>(file), {})).at("models").as_array();
}

std::filesystem::path path_in_kit(const boost::json::value& model) {
  return std::filesystem::path(HALOD_CONFORMANCE_DIR) / std::string(model.at("model").as_string());
}

std::vector<TokenId> kit_ids(const boost::json::value& model, size_t sequence, size_t n) {
  std::vector<TokenId> ids;
  for (const boost::json::value& id : model.at("sequences").at(sequence).at("ids").as_array()) {
    if (ids.size() < n) ids.push_back(static_cast<TokenId>(id.to_number<int32_t>()));
  }
  return ids;
}

TEST(TheGpuBackend, RunsTheConformanceModels) {
  const boost::json::array models = models_of_kit("gguf_manifest.json");
  if (models.empty())
    GTEST_SKIP() << "no conformance kit at " << HALOD_CONFORMANCE_DIR
                 << "; set HALOD_CONFORMANCE_DIR to run its models";
  int n_models = 0;
  for (const boost::json::value& model : models) {
    const std::string name(model.at("model").as_string());
    if (!name.starts_with("gguf/qwen3moe") && !name.starts_with("gguf/qwen3-") &&
        !name.starts_with("gguf/llama") && !name.starts_with("gguf/gpt-oss") &&
        !name.starts_with("gguf/qwen3next"))
      continue;
    const auto& types = model.at("tensor_types").as_object();
    if (std::ranges::any_of(types, [](const auto& type) {
          const FormatTraits* format = find_format_by_name(std::string_view(type.key()));
          return format == nullptr || hip::find_row_layout(format->format) == nullptr;
        }))
      continue;
    ++n_models;
    LoadedModel gpu = load(path_in_kit(model), "hip-lanes"), cpu = load(path_in_kit(model), "cpu");
    // gpt-oss' window is 24.
    const std::vector<TokenId> ids = kit_ids(model, 1, name.starts_with("gguf/gpt-oss") ? 40 : 24);
    EXPECT_LT(test::nmse(gpu.append(ids, 0, 64), cpu.append(ids, 0, 64)), kBound) << name;
  }
  EXPECT_GE(n_models, 12);  // among them Q3_K_M, IQ4_XS and MXFP4_MOE
}

/// BF16, GPTQ and AWQ, as published. A sequence's first token agrees to 1e-13: what differs is that attention
/// rounds queries and weights to f16, which turns a code of 8 bits here and there. That gives most tokens of
/// the quantised models 1e-4 to 4e-4. At a near tie it turns the choice of an expert: of 40 tokens of the
/// GPTQ model two were at 6e-2 and 8e-2, the one because the GPU chose otherwise than f32 does, the other
/// because the CPU did; each time the other was within 3e-4 of f32.
TEST(TheGpuBackend, RunsTheConformanceFolders) {
  const boost::json::array models = models_of_kit("safetensors_manifest.json");
  if (models.empty())
    GTEST_SKIP() << "no conformance kit at " << HALOD_CONFORMANCE_DIR
                 << "; set HALOD_CONFORMANCE_DIR to run its models";
  EXPECT_GE(models.size(), 3U);
  for (const boost::json::value& model : models) {
    SCOPED_TRACE(path_in_kit(model));
    LoadedModel gpu = load(path_in_kit(model), "hip-lanes"), cpu = load(path_in_kit(model), "cpu");
    for (const size_t sequence : {0, 1}) {
      const std::vector<TokenId> ids = kit_ids(model, sequence, 24);
      gpu.rewind();
      cpu.rewind();
      const std::vector<double> errors =
          row_errors(gpu.append(ids, 0, 64), cpu.append(ids, 0, 64), cpu.config().vocab_size);
      EXPECT_LT(errors[0], 1e-9);
      const auto n_turned = std::ranges::count_if(errors, [](double error) { return !(error < kBound); });
      EXPECT_LE(n_turned, sequence == 0 ? 0 : 2) << "of " << ids.size() << " tokens";
    }
  }
}

}  // namespace
}  // namespace halod

// Whole models through the GPU backend, its kernels running on the lanes of the CPU, against the CPU backend.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "bench/loaded_model.h"
#include "kernels/hip/weight_layout.h"
#include "runtime/backend/hip/hip_backend.h"
#include "runtime/backend/hip/lanes_device.h"
#include "runtime/models/model_features.h"
#include "tests/runtime/models/temporary_model.h"
#include "tests/support/hf_twin.h"
#include "tests/support/random_model.h"
#include "tests/support/random_values.h"
#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

using bench::LoadedModel;
using test::TemporaryModel;

LoadedModel load(const std::filesystem::path& path, const std::string& backend) {
  return LoadedModel({.path = path,
                      .backend = {.kind = backend, .n_threads = 1},
                      .context_length = 192,
                      .max_batch_tokens = 64,
                      .max_logit_rows = 64,
                      .max_sequences = 3});
}

std::vector<TokenId> random_ids(int64_t n, int64_t vocab_size, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<TokenId> ids;
  for (int64_t i = 0; i < n; ++i)
    ids.push_back(static_cast<TokenId>(generator() % static_cast<uint32_t>(vocab_size)));
  return ids;
}

/// Both backends round activations to 8 bits where weights are quantised; they differ in the order of f32
/// sums, which now and then turns a code or, at a near tie, the choice of an expert.
constexpr double kBound = 1e-3;

/// The NMSE of each row of logits.
std::vector<double> row_errors(const std::vector<float>& ours, const std::vector<float>& theirs,
                               int64_t vocab_size) {
  EXPECT_EQ(ours.size(), theirs.size());
  std::vector<double> errors;
  for (auto first = ours.begin(), other = theirs.begin(); first != ours.end();
       first += vocab_size, other += vocab_size)
    errors.push_back(test::nmse({first, first + vocab_size}, {other, other + vocab_size}));
  return errors;
}

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

/// Dense layers before those with experts, a shared expert without a gate, half of a head rotated; biases and
/// norms of heads in one or the other.
TEST(TheGpuBackend, RunsGlm) {
  for (const char* family : {"glm4moe", "glm4moe-air"}) {
    SCOPED_TRACE(family);
    const test::RandomModelFile file(family, Format::kQ8_0);
    LoadedModel gpu = load(file.path(), "hip-lanes"), cpu = load(file.path(), "cpu");
    const std::vector<TokenId> ids = random_ids(40, cpu.config().vocab_size, 13);
    const std::vector<float> at_once = gpu.append(ids, 20, 64);
    EXPECT_LT(test::nmse(at_once, cpu.append(ids, 20, 64)), kBound);
    gpu.rewind();
    EXPECT_EQ(gpu.append(ids, 20, 7), at_once) << "in chunks";
  }
}

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

/// Two steps of three sequences, the second from the states of the first: a prompt that fills tiles, one that
/// does not, and single tokens.
void expect_same_bits_alone_and_in_a_batch(LoadedModel gpu) {
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

class EveryBatchOnTheGpu : public testing::TestWithParam<Case> {};

TEST_P(EveryBatchOnTheGpu, GivesASequenceTheSameBitsAsAlone) {
  const TemporaryModel file(GetParam().shape, GetParam().recipe);
  expect_same_bits_alone_and_in_a_batch(load(file.path(), "hip-lanes"));
}

INSTANTIATE_TEST_SUITE_P(Models, EveryBatchOnTheGpu,
                         testing::Values(Case{"tiny-minimax-m2", "Q8_0"}, Case{"tiny-qwen3next", "Q8_0"},
                                         Case{"tiny-qwen35moe", "Q4_K_M"}),
                         name_of);

/// Mamba-2 layers, feed-forward layers and experts without a gate, experts of another width than the layer.
class EveryNemotronOnTheGpu : public testing::TestWithParam<std::tuple<const char*, Format>> {
 protected:
  const test::RandomModelFile file_{std::get<0>(GetParam()), std::get<1>(GetParam())};
};

TEST_P(EveryNemotronOnTheGpu, GivesTheLogitsOfTheCpuAndTheSameBitsInAnyChunks) {
  LoadedModel gpu = load(file_.path(), "hip-lanes"), cpu = load(file_.path(), "cpu");
  EXPECT_EQ(gpu.backend().name(), "hip");
  const std::vector<TokenId> ids = random_ids(40, cpu.config().vocab_size, 13);
  const std::vector<float> at_once = gpu.append(ids, 20, 64);
  EXPECT_LT(test::nmse(at_once, cpu.append(ids, 20, 64)), kBound);
  for (const int64_t chunk : {1, 7, 23}) {
    gpu.rewind();
    EXPECT_EQ(gpu.append(ids, 20, chunk), at_once) << "in chunks of " << chunk;
  }
}

TEST_P(EveryNemotronOnTheGpu, GivesASequenceTheSameBitsAsAlone) {
  expect_same_bits_alone_and_in_a_batch(load(file_.path(), "hip-lanes"));
}

INSTANTIATE_TEST_SUITE_P(Families, EveryNemotronOnTheGpu,
                         testing::Combine(testing::Values("nemotron_h", "nemotron_h_moe",
                                                          "nemotron_h_moe-latent"),
                                          testing::Values(Format::kF32, Format::kQ8_0)),
                         [](const auto& test) {
                           std::string name = std::string(std::get<0>(test.param)) + "_" +
                                              std::string(traits(std::get<1>(test.param)).name);
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

/// GPTQ's columns by groups that mattered alike: those of an expert in an order of its own.
class EveryActivationOrderOnTheGpu : public testing::TestWithParam<const char*> {};

TEST_P(EveryActivationOrderOnTheGpu, GivesTheLogitsOfTheCpuAndTheSameBitsInAnyChunks) {
  const TemporaryFolder folder;
  const std::string model_type = GetParam();
  test::write_twin(model_type,
                   {.dtype = model_type == "qwen3_next" ? "F32" : "BF16",
                    .quantisation = test::TwinQuantisation::kGptqActOrder},
                   folder.path());
  LoadedModel gpu = load(folder.path() / "hf", "hip-lanes"), cpu = load(folder.path() / "hf", "cpu");
  ASSERT_TRUE(gpu.config().has_column_orders);
  EXPECT_EQ(gpu.backend().name(), "hip");
  const std::vector<TokenId> ids = random_ids(25, cpu.config().vocab_size, 13);
  const std::vector<float> at_once = gpu.append(ids, 12, 64);
  const std::vector<double> errors = row_errors(at_once, cpu.append(ids, 12, 64), cpu.config().vocab_size);
  // A near tie may turn the choice of an expert, as in RunsTheConformanceFolders.
  EXPECT_LE(std::ranges::count_if(errors, [](double error) { return !(error < kBound); }),
            model_type == "llama" ? 0 : 2);
  for (const int64_t chunk : {1, 7, 10}) {
    gpu.rewind();
    EXPECT_EQ(gpu.append(ids, 12, chunk), at_once) << "in chunks of " << chunk;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, EveryActivationOrderOnTheGpu,
                         testing::Values("llama", "qwen3_moe", "qwen3_next"),
                         [](const auto& test) { return std::string(test.param); });

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

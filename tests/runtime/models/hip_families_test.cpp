// Whole models of random weights through the GPU backend, its kernels running on the lanes of the CPU,
// against the CPU backend: families that halo-bench does not write, and weights in activation order.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "tests/runtime/models/hip_models.h"
#include "tests/support/hf_twin.h"
#include "tests/support/random_model.h"
#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

using bench::LoadedModel;
using test::kBound;
using test::load;
using test::random_ids;

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
  test::expect_same_bits_alone_and_in_a_batch(load(file_.path(), "hip-lanes"));
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
  const std::vector<double> errors =
      test::row_errors(at_once, cpu.append(ids, 12, 64), cpu.config().vocab_size);
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

}  // namespace
}  // namespace halod

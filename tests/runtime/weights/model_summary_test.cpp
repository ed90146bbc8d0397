#include "runtime/weights/model_summary.h"

#include <gtest/gtest.h>

#include "runtime/weights/gguf_file.h"
#include "tests/support/random_model.h"
#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

const TensorGroup& group(const ModelSummary& summary, std::string_view kind) {
  for (const TensorGroup& found : summary.groups) {
    if (found.kind == kind) return found;
  }
  throw std::out_of_range(std::string(kind));
}

ModelSummary summary_of(const std::filesystem::path& path) {
  return summarise_model(GgufFile::open_to_inspect(path).value()).value();
}

TEST(TheSummaryOfAModel, CountsTheExpertsThatATokenIsRoutedTo) {
  const ModelSummary demo = summary_of(std::filesystem::path(HALOD_SOURCE_DIR) / "models/demo-moe-Q8_0.gguf");
  EXPECT_EQ(demo.architecture, "qwen3moe");
  EXPECT_EQ(demo.context_length, 1024);
  EXPECT_EQ(demo.n_experts, 8);
  EXPECT_EQ(demo.n_experts_per_token, 2);
  const TensorGroup& experts = group(demo, "experts");
  EXPECT_EQ(experts.format, "Q8_0");
  EXPECT_EQ(experts.n_tensors, 12);  // gate, up and down of four layers
  EXPECT_EQ(experts.bytes_per_token, experts.bytes / 4);
  EXPECT_EQ(demo.groups.front().kind, "experts");  // most bytes first
  // Q8_0 takes 34 bytes for 32 weights; the rest is active for every token.
  EXPECT_EQ(demo.n_parameters - demo.n_active_parameters, experts.bytes / 34 * 32 / 4 * 3);
}

TEST(TheSummaryOfAModel, ReadsOneRowOfAnEmbeddingThatIsNotTheOutputToo) {
  const ModelSummary demo = summary_of(std::filesystem::path(HALOD_SOURCE_DIR) / "models/demo-moe-Q8_0.gguf");
  const TensorGroup& embedding = group(demo, "embedding");
  EXPECT_EQ(embedding.bytes_per_token, embedding.bytes / 1536);
  EXPECT_EQ(group(demo, "output").bytes_per_token, group(demo, "output").bytes);
}

TEST(TheSummaryOfAModel, AddsUp) {
  const ModelSummary demo = summary_of(std::filesystem::path(HALOD_SOURCE_DIR) / "models/demo-moe-Q8_0.gguf");
  uint64_t bytes = 0, per_token = 0;
  for (const TensorGroup& found : demo.groups) {
    bytes += found.bytes;
    per_token += found.bytes_per_token;
  }
  EXPECT_EQ(bytes, demo.tensor_bytes);
  EXPECT_EQ(per_token, demo.weight_bytes_per_token);
}

TEST(TheSummaryOfAModel, CountsLatentAndUngatedExperts) {
  const test::RandomModelFile file("nemotron_h_moe-latent");
  const ModelSummary summary = summary_of(file.path());
  // Two layers of five experts, up and down of 64 x 32; two are chosen.
  EXPECT_EQ(group(summary, "experts").n_tensors, 4);
  EXPECT_EQ(summary.n_parameters - summary.n_active_parameters, 2 * 2 * 3 * 64 * 32u);
  EXPECT_EQ(group(summary, "experts").bytes_per_token, 2 * 2 * 2 * 64 * 32 * sizeof(float));
  EXPECT_EQ(group(summary, "recurrent").n_tensors, 7);  // of one layer, but for its norm
}

TEST(TheSummaryOfAModel, LeavesOutLayersThatNoAnswerDependsOn) {
  const test::RandomModelFile file("glm4moe");
  const ModelSummary summary = summary_of(file.path());
  const TensorGroup& unused = group(summary, "guessing ahead");
  EXPECT_EQ(unused.bytes_per_token, 0u);
  EXPECT_GT(unused.bytes, 4u * 96 * 192);
  uint64_t n_unused = 0, n_idle_experts = 2 * 3 * 5 * 32 * 96;  // two layers, three matrices, five of eight
  const GgufFile gguf = GgufFile::open(file.path()).value();
  for (const TensorInfo& tensor : gguf.tensors()) {
    if (tensor.name.starts_with("blk.3.")) n_unused += static_cast<uint64_t>(tensor.n_elements());
  }
  EXPECT_EQ(summary.n_parameters - summary.n_active_parameters, n_unused + n_idle_experts);
}

TEST(TheSummaryOfAModel, IsMadeOfArchitecturesAndFormatsThatHalodDoesNotRun) {
  const std::filesystem::path folder = std::filesystem::path(HALOD_CONFORMANCE_DIR) / "gguf";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no conformance kit at " << folder;
  const ModelSummary llama = summary_of(folder / "llama-a.gguf");
  EXPECT_EQ(llama.architecture, "llama");
  EXPECT_EQ(llama.n_experts, 0);
  EXPECT_EQ(llama.n_active_parameters, llama.n_parameters);
  const ModelSummary next = summary_of(folder / "qwen3next-a.gguf");
  EXPECT_GT(group(next, "recurrent").n_tensors, 0);
  EXPECT_GT(group(next, "shared experts").n_tensors, 0);
  const ModelSummary q3 = summary_of(folder / "qwen3moe-q-Q3_K_M.gguf");
  EXPECT_TRUE(group(q3, "embedding").supported);
  EXPECT_EQ(group(q3, "embedding").format, "Q3_K");
  // The same model: formats change its bytes and not its parameters.
  EXPECT_EQ(q3.n_parameters, summary_of(folder / "qwen3moe-q-Q8_0.gguf").n_parameters);
}

}  // namespace
}  // namespace halod

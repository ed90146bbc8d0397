// How the GPU backend uses its device: launches, copies, and what it refuses.
#include "runtime/backend/hip/hip_backend.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "runtime/backend/hip/graph_device.h"
#include "runtime/models/model.h"
#include "runtime/weights/gguf_file.h"
#include "tests/runtime/models/temporary_model.h"
#include "tests/support/random_model.h"
#include "tests/support/wrapped_device.h"

namespace halod::hip {
namespace {

using test::TemporaryModel;

class CountingDevice final : public test::WrappedDevice {
 public:
  struct Counts {
    std::map<std::string, int> launches;
    int n_graphs_made = 0, n_graph_launches = 0;
    int n_copies_to_device = 0;
    uint64_t n_bytes_to_host = 0;
    int n_launches() const {
      int total = 0;
      for (const auto& [name, n] : launches) total += n;
      return total;
    }
  };
  explicit CountingDevice(Counts& counts) : counts_(counts) {}
  void copy_to_device(void* device, const void* host, uint64_t n_bytes) override {
    ++counts_.n_copies_to_device;
    WrappedDevice::copy_to_device(device, host, n_bytes);
  }
  void copy_to_host(void* host, const void* device, uint64_t n_bytes) override {
    counts_.n_bytes_to_host += n_bytes;
    WrappedDevice::copy_to_host(host, device, n_bytes);
  }
  void launch(KernelId kernel, Grid grid, int n_shared_bytes, const void* args) override {
    ++counts_.launches[std::string(kernel_row(kernel).name)];
    WrappedDevice::launch(kernel, grid, n_shared_bytes, args);
  }
  std::unique_ptr<LaunchGraph> make_graph(std::span<const QueuedLaunch> launches) override {
    ++counts_.n_graphs_made;
    return WrappedDevice::make_graph(launches);
  }
  void launch_graph(LaunchGraph& graph) override {
    ++counts_.n_graph_launches;
    WrappedDevice::launch_graph(graph);
  }

 private:
  Counts& counts_;
};

/// What a step of n_tokens does to the device, the second one: the first one makes room.
CountingDevice::Counts count_step_of_file(const std::filesystem::path& path, int32_t n_tokens,
                                          int64_t& n_layers, int32_t n_best = 1) {
  CountingDevice::Counts counts;
  const GgufFile file = GgufFile::open(path).value();
  const auto backend = HipBackend::open_untested(std::make_unique<CountingDevice>(counts), 1);
  const auto model =
      load_model(file, *backend, {.n_kv_pages = 4, .max_batch_tokens = 64, .max_logit_rows = 1}, {}).value();
  n_layers = model->config().n_layers;
  const std::vector<PageId> pages = {PageId{2}, PageId{0}, PageId{3}};
  const std::vector<TokenId> tokens(static_cast<size_t>(n_tokens), TokenId{7});
  std::vector<float> logits(static_cast<size_t>(model->config().vocab_size));
  for (int32_t step = 0; step < 2; ++step) {
    counts = {};
    const SequenceSlice slice{.pages = pages, .n_past = step * n_tokens, .n_new = n_tokens};
    const int32_t row = n_tokens - 1;
    BestTokens best{.n_wanted = n_best, .found = {}};
    model->forward({.tokens = tokens, .sequences = {&slice, 1}, .logit_rows = {&row, 1}, .best = {&best, 1}},
                   {logits.data(), 1, model->config().vocab_size});
    EXPECT_EQ(best.found.size(), n_best <= kMaxTopK ? static_cast<size_t>(n_best) : 0U);
  }
  return counts;
}
CountingDevice::Counts count_step(const std::string& shape, int32_t n_tokens, int64_t& n_layers,
                                  int32_t n_best = 1) {
  const TemporaryModel model(shape, "Q4_K_M");
  return count_step_of_file(model.path(), n_tokens, n_layers, n_best);
}

TEST(ADecodeStep, IsEightLaunchesALayerOfExperts) {
  int64_t n_layers = 0;
  const auto counts = count_step("tiny-moe", 1, n_layers);
  // Embedding; then gathering, norm, output matrix and argmax.
  EXPECT_EQ(counts.n_launches(), 8 * n_layers + 5);
  EXPECT_EQ(counts.launches.at("router"), n_layers);
  EXPECT_EQ(counts.launches.at("flash_decode_64"), n_layers);
  EXPECT_EQ(counts.launches.at("linear_1"), 2 * n_layers + 1);
}

TEST(ADecodeStep, IsEightLaunchesALayerOfAnyOtherArchitecture) {
  for (const char* shape : {"tiny-dense", "tiny-llama", "tiny-qwen2", "tiny-gpt-oss", "tiny-qwen35moe"}) {
    int64_t n_layers = 0;
    const auto counts = count_step(shape, 1, n_layers);
    EXPECT_EQ(counts.n_launches(), 8 * n_layers + 5) << shape;
  }
}

TEST(ADecodeStep, IsTwoLaunchesMoreALayerWhereWholeProjectionsAreNormed) {
  int64_t n_layers = 0;
  const auto counts = count_step("tiny-minimax-m2", 1, n_layers);
  EXPECT_EQ(counts.n_launches(), 10 * n_layers + 5);
}

/// Nemotron-H's layers are one block each: six launches of Mamba-2, five of attention, three of feed-forward
/// layers and of experts, ten of experts of another width than the layer.
TEST(ADecodeStep, IsThreeToTenLaunchesABlockOfNemotron) {
  int64_t n_layers = 0;
  for (const auto& [family, expected] : {std::pair{"nemotron_h", 2 * 6 + 5 + 2 * 3},
                                         {"nemotron_h_moe", 3 * 6 + 5 + 2 * 3},
                                         {"nemotron_h_moe-latent", 6 + 5 + 2 * 10}}) {
    const test::RandomModelFile file(family, Format::kQ8_0);
    const auto counts = count_step_of_file(file.path(), 1, n_layers);
    EXPECT_EQ(counts.n_launches(), expected + 5) << family;
  }
}

TEST(ADecodeStep, MovesOneCopyInAndEightBytesOut) {
  int64_t n_layers = 0;
  const auto counts = count_step("tiny-moe", 1, n_layers);
  EXPECT_EQ(counts.n_copies_to_device, 1);
  EXPECT_EQ(counts.n_bytes_to_host, sizeof(ArgmaxResult));
}

TEST(ADecodeStep, MovesTheBestTokensOutWhereTopKBoundsTheDraw) {
  int64_t n_layers = 0;
  const auto counts = count_step("tiny-moe", 1, n_layers, 20);
  EXPECT_EQ(counts.n_bytes_to_host, 20 * sizeof(ArgmaxResult));
  EXPECT_EQ(counts.n_launches(), 8 * n_layers + 5);
  EXPECT_GT(count_step("tiny-moe", 1, n_layers, kMaxTopK + 1).n_bytes_to_host, 65 * sizeof(ArgmaxResult))
      << "the whole row";
}

TEST(APromptStep, TakesItsProductsToTheMatrixUnit) {
  int64_t n_layers = 0;
  const auto counts = count_step("tiny-moe", 40, n_layers);
  EXPECT_EQ(counts.launches.at("prompt_linear_32"), 2 * n_layers);  // q, k and v; the output of attention
  EXPECT_EQ(counts.launches.at("prompt_attention_64"), n_layers);
  EXPECT_EQ(counts.launches.at("group_slots"), n_layers);
  EXPECT_EQ(counts.launches.at("experts_sum"), n_layers);
  for (const char* of_decode : {"linear_8", "flash_decode_64", "gate_up_1", "experts_down"})
    EXPECT_FALSE(counts.launches.contains(of_decode)) << of_decode;
  EXPECT_EQ(count_step("tiny-dense", 40, n_layers).launches.at("prompt_gate_up_32"), n_layers);
}

TEST(APromptStep, KeepsToDecodesKernelsForUpToEightRows) {
  int64_t n_layers = 0;
  const auto counts = count_step("tiny-moe", 8, n_layers);
  EXPECT_EQ(counts.launches.at("linear_8"), 2 * n_layers);
  EXPECT_FALSE(counts.launches.contains("prompt_linear_16"));
  EXPECT_TRUE(count_step("tiny-moe", 9, n_layers).launches.contains("prompt_linear_16"));
}

/// Decodes token by token on two sequences, whose lengths differ and cross a page.
class Decoder {
 public:
  explicit Decoder(std::unique_ptr<Device> device)
      : backend_(HipBackend::open_untested(std::move(device), 1)),
        model_(load_model(file_, *backend_, {.n_kv_pages = 8, .max_batch_tokens = 8, .max_logit_rows = 2}, {})
                   .value()) {}

  /// The next token of the first n_sequences.
  std::vector<float> step(size_t n_sequences) {
    std::vector<SequenceSlice> slices;
    std::vector<TokenId> tokens;
    std::vector<int32_t> rows;
    for (size_t s = 0; s < n_sequences; ++s) {
      slices.push_back({.pages = pages_[s], .n_past = n_past_[s]++, .n_new = 1});
      tokens.push_back(static_cast<TokenId>(3 * n_past_[s] + static_cast<int32_t>(s)));
      rows.push_back(static_cast<int32_t>(s));
    }
    const int64_t vocab_size = model_->config().vocab_size;
    std::vector<float> logits(n_sequences * static_cast<size_t>(vocab_size));
    model_->forward({.tokens = tokens, .sequences = slices, .logit_rows = rows},
                    {logits.data(), static_cast<int64_t>(n_sequences), vocab_size});
    return logits;
  }

 private:
  TemporaryModel path_{"tiny-moe", "Q4_K_M"};
  GgufFile file_ = GgufFile::open(path_.path()).value();
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Model> model_;
  std::vector<PageId> pages_[2] = {{PageId{2}, PageId{0}}, {PageId{3}, PageId{5}}};
  int32_t n_past_[2] = {0, 28};
};

TEST(GraphsOfLaunches, AreOneLaunchATokenWithTheSameBits) {
  CountingDevice::Counts counts;
  Decoder plain(make_lanes_device()), graphs(make_graph_device(std::make_unique<CountingDevice>(counts)));
  for (int token = 0; token < 8; ++token) {
    counts = {};
    EXPECT_EQ(graphs.step(2), plain.step(2)) << "token " << token;
    // The first step makes room, the second one is new, of the third one there is a graph.
    EXPECT_EQ(counts.n_graphs_made, token == 2 ? 1 : 0) << token;
    EXPECT_EQ(counts.n_graph_launches, token < 2 ? 0 : 1) << token;
    EXPECT_EQ(counts.n_launches() == 0, token >= 2) << token;
  }
}

TEST(GraphsOfLaunches, AreKeptForEachBatch) {
  CountingDevice::Counts counts;
  Decoder plain(make_lanes_device()), graphs(make_graph_device(std::make_unique<CountingDevice>(counts)));
  const auto step_both = [&](size_t n_sequences) {
    EXPECT_EQ(graphs.step(n_sequences), plain.step(n_sequences));
  };
  for (const size_t n_sequences : {2, 2, 2, 1, 1}) step_both(n_sequences);
  EXPECT_EQ(counts.n_graphs_made, 2);
  counts = {};
  for (const size_t n_sequences : {2, 1, 2}) step_both(n_sequences);
  EXPECT_EQ(counts.n_graphs_made, 0);
  EXPECT_EQ(counts.n_graph_launches, 3);
  EXPECT_EQ(counts.n_launches(), 0);
}

/// As a runtime whose capturing fails.
class DeviceWithoutGraphs final : public test::WrappedDevice {
 public:
  std::unique_ptr<LaunchGraph> make_graph(std::span<const QueuedLaunch>) override {
    ++n_asked;
    return nullptr;
  }
  int n_asked = 0;
};

TEST(GraphsOfLaunches, AreDoneWithoutWhereTheDeviceMakesNone) {
  auto device = std::make_unique<DeviceWithoutGraphs>();
  const DeviceWithoutGraphs& asked = *device;
  Decoder plain(make_lanes_device()), graphs(make_graph_device(std::move(device)));
  for (int token = 0; token < 5; ++token) EXPECT_EQ(graphs.step(1), plain.step(1)) << "token " << token;
  EXPECT_EQ(asked.n_asked, 1);
}

TEST(AnAttentionPlan, TakesSequencesOfManyNewRowsByTiles) {
  const AttentionSequence sequences[] = {{.pages = {}, .n_past = 300, .n_new = 1},
                                         {.pages = {}, .n_past = 5, .n_new = 40},
                                         {.pages = {}, .n_past = 10, .n_new = 8}};
  const AttentionPlan plan = plan_attention(sequences);
  EXPECT_EQ(plan.rows, (std::vector<int32_t>{0, 41, 42, 43, 44, 45, 46, 47, 48}));
  EXPECT_EQ(plan.longest_row, 301);
  std::vector<std::pair<int32_t, int32_t>> tiles;
  for (const AttentionTile& tile : plan.tiles_for(8)) tiles.emplace_back(tile.first_row, tile.n_rows);
  EXPECT_EQ(tiles, (std::vector<std::pair<int32_t, int32_t>>{{1, 16}, {17, 16}, {33, 8}}));
  ASSERT_EQ(plan.tiles_for(1).size(), 1U);
  EXPECT_EQ(plan.tiles_for(1)[0].n_rows, 40);
}

TEST(TheGpuBackend, RefusesHeadsThatNoKernelTakes) {
  const auto backend = HipBackend::open_untested(make_lanes_device(), 1);
  for (const int64_t head_dim : {24, 272}) {
    const auto kv = backend->allocate_kv({.n_layers = 1, .n_kv_heads = 1, .head_dim = head_dim}, 1);
    ASSERT_FALSE(kv) << head_dim;
    EXPECT_EQ(kv.error().code, ErrorCode::kUnsupported);
  }
}

/// A device with little memory.
class FullDevice final : public test::WrappedDevice {
 public:
  Result<void*> allocate(uint64_t n_bytes) override {
    if (n_bytes > (1 << 20)) return Error{ErrorCode::kOutOfMemory, "the device is full"};
    return WrappedDevice::allocate(n_bytes);
  }
};

TEST(TheGpuBackend, PassesOnThatThereIsNoMemory) {
  const auto backend = HipBackend::open_untested(std::make_unique<FullDevice>(), 1);
  EXPECT_EQ(backend->allocate_activations(1024, 1024).error().code, ErrorCode::kOutOfMemory);
  EXPECT_EQ(backend->allocate_kv({.n_layers = 4, .n_kv_heads = 8, .head_dim = 128}, 64).error().code,
            ErrorCode::kOutOfMemory);
}

/// A device whose kernels compute nothing, as one that a wrong driver leads astray.
class IdleDevice final : public test::WrappedDevice {
 public:
  void launch(KernelId, Grid, int, const void*) override {}
};

TEST(TheGpuBackend, RefusesADeviceThatComputesWrongly) {
  const auto backend = HipBackend::open(std::make_unique<IdleDevice>(), 1);
  ASSERT_FALSE(backend);
  EXPECT_EQ(backend.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(backend.error().message.find("computes wrong results"), std::string::npos)
      << backend.error().message;
}

}  // namespace
}  // namespace halod::hip

// How the GPU backend uses its device: launches, copies, and what it refuses.
#include "runtime/backend/hip/hip_backend.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "runtime/models/model.h"
#include "runtime/weights/gguf_file.h"
#include "tests/runtime/models/temporary_model.h"
#include "tests/support/wrapped_device.h"

namespace halod::hip {
namespace {

using test::TemporaryModel;

class CountingDevice final : public test::WrappedDevice {
 public:
  struct Counts {
    std::map<std::string, int> launches;
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

 private:
  Counts& counts_;
};

/// What a step of n_tokens does to the device, the second one: the first one makes room.
CountingDevice::Counts count_step(const std::string& shape, int32_t n_tokens, int64_t& n_layers) {
  CountingDevice::Counts counts;
  const TemporaryModel path(shape, "Q4_K_M");
  const GgufFile file = GgufFile::open(path.path()).value();
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
    GreedyRow greedy{.wanted = true};
    model->forward(
        {.tokens = tokens, .sequences = {&slice, 1}, .logit_rows = {&row, 1}, .greedy = {&greedy, 1}},
        {logits.data(), 1, model->config().vocab_size});
    EXPECT_TRUE(greedy.found);
  }
  return counts;
}

TEST(ADecodeStep, IsEightLaunchesALayerOfExperts) {
  int64_t n_layers = 0;
  const auto counts = count_step("tiny-moe", 1, n_layers);
  // Embedding; then gathering, norm, output matrix and argmax.
  EXPECT_EQ(counts.n_launches(), 8 * n_layers + 5);
  EXPECT_EQ(counts.launches.at("router"), n_layers);
  EXPECT_EQ(counts.launches.at("linear_1"), 2 * n_layers + 1);
}

TEST(ADecodeStep, IsEightLaunchesALayerOfAnyOtherArchitecture) {
  for (const char* shape : {"tiny-dense", "tiny-llama", "tiny-qwen2"}) {
    int64_t n_layers = 0;
    const auto counts = count_step(shape, 1, n_layers);
    EXPECT_EQ(counts.n_launches(), 8 * n_layers + 5) << shape;
  }
}

TEST(ADecodeStep, MovesOneCopyInAndEightBytesOut) {
  int64_t n_layers = 0;
  const auto counts = count_step("tiny-moe", 1, n_layers);
  EXPECT_EQ(counts.n_copies_to_device, 1);
  EXPECT_EQ(counts.n_bytes_to_host, sizeof(ArgmaxResult));
}

TEST(APromptStep, TakesItsProductsToTheMatrixUnit) {
  int64_t n_layers = 0;
  const auto counts = count_step("tiny-moe", 40, n_layers);
  EXPECT_EQ(counts.launches.at("prompt_linear_32"), 2 * n_layers);  // q, k and v; the output of attention
  EXPECT_EQ(counts.launches.at("group_slots"), n_layers);
  EXPECT_EQ(counts.launches.at("experts_sum"), n_layers);
  for (const char* of_decode : {"linear_8", "gate_up_1", "experts_down"})
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

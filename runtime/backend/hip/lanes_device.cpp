#include "runtime/backend/hip/lanes_device.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernels/hip/dialect/lane_scheduler.h"
#include "kernels/hip/lane_kernels.h"

namespace halod::hip {
namespace {

constexpr size_t kAlignment = 256;
constexpr int kPoison = 0xff;  // a float of four of them is NaN

/// What it launches, with arguments of its own.
struct LanesGraph final : LaunchGraph {
  std::vector<QueuedLaunch> launches;
  std::vector<std::vector<std::byte>> args;
};

class LanesDevice final : public Device {
 public:
  const DeviceInfo& info() const override { return info_; }

  Result<void*> allocate(uint64_t n_bytes) override {
    const size_t rounded = (n_bytes + kAlignment - 1) / kAlignment * kAlignment;
    void* memory = std::aligned_alloc(kAlignment, rounded);
    if (memory == nullptr)
      return Error{ErrorCode::kOutOfMemory, fmt::format("cannot allocate {} bytes for the lanes", rounded)};
    std::memset(memory, kPoison, rounded);
    return memory;
  }
  void deallocate(void* memory) noexcept override { std::free(memory); }
  Result<void*> allocate_pinned(uint64_t n_bytes) override { return allocate(n_bytes); }
  void deallocate_pinned(void* memory) noexcept override { std::free(memory); }

  void copy_to_device(void* device, const void* host, uint64_t n_bytes) override {
    std::memcpy(device, host, n_bytes);
  }
  void copy_to_host(void* host, const void* device, uint64_t n_bytes) override {
    std::memcpy(host, device, n_bytes);
  }
  void fill_with_zeros(void* device, uint64_t n_bytes) override { std::memset(device, 0, n_bytes); }

  void launch(KernelId kernel, Grid grid, int n_shared_bytes, const void* args) override {
    const KernelRow& row = kernel_row(kernel);
    lanes_.run({.name = row.name.data(),
                .kernel = lane_kernel(kernel),
                .args = args,
                .n_blocks_x = static_cast<int>(grid.x),
                .n_blocks_y = static_cast<int>(grid.y),
                .n_threads = row.n_threads,
                .n_shared_bytes = static_cast<size_t>(n_shared_bytes)});
  }
  std::unique_ptr<LaunchGraph> make_graph(std::span<const QueuedLaunch> launches) override {
    auto graph = std::make_unique<LanesGraph>();
    for (const QueuedLaunch& launch : launches) {
      const auto* args = static_cast<const std::byte*>(launch.args);
      graph->launches.push_back(launch);
      graph->args.emplace_back(args, args + kernel_row(launch.kernel).args_bytes);
    }
    return graph;
  }
  void launch_graph(LaunchGraph& graph) override {
    const auto& recorded = static_cast<const LanesGraph&>(graph);
    for (size_t i = 0; i < recorded.launches.size(); ++i) {
      const QueuedLaunch& one = recorded.launches[i];
      launch(one.kernel, one.grid, one.n_shared_bytes, recorded.args[i].data());
    }
  }
  void synchronize() override {}
  double seconds_of(const std::function<void()>& work) override {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  DeviceInfo info_{.name = "lanes on the CPU", .target = "lanes", .operations_at_once = 1e6};
  lanes::LaneScheduler lanes_;
};

}  // namespace

std::unique_ptr<Device> make_lanes_device() { return std::make_unique<LanesDevice>(); }

}  // namespace halod::hip

#include "runtime/backend/hip/graph_device.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <vector>

namespace halod::hip {
namespace {

/// Launches with their arguments, to be made and to be compared.
class LaunchList {
 public:
  void add(const QueuedLaunch& launch) {
    Entry entry = {launch.kernel, launch.grid.x, launch.grid.y, launch.n_shared_bytes, bytes_.size()};
    entries_.push_back(entry);
    const auto* args = static_cast<const std::byte*>(launch.args);
    bytes_.insert(bytes_.end(), args, args + kernel_row(launch.kernel).args_bytes);
    bytes_.resize((bytes_.size() + kAlignment - 1) / kAlignment * kAlignment);
  }
  void clear() {
    entries_.clear();
    bytes_.clear();
  }
  size_t size() const { return entries_.size(); }
  std::vector<QueuedLaunch> launches() const {
    std::vector<QueuedLaunch> launches;
    for (const Entry& entry : entries_) {
      launches.push_back(
          {entry.kernel, {entry.grid_x, entry.grid_y}, entry.n_shared_bytes, bytes_.data() + entry.args_at});
    }
    return launches;
  }
  friend bool operator==(const LaunchList&, const LaunchList&) = default;

 private:
  static constexpr size_t kAlignment = alignof(std::max_align_t);
  struct Entry {
    KernelId kernel;
    int64_t grid_x, grid_y;
    int n_shared_bytes;
    size_t args_at;
    friend bool operator==(const Entry&, const Entry&) = default;
  };
  std::vector<Entry> entries_;
  std::vector<std::byte> bytes_;
};

class GraphDevice final : public Device {
 public:
  explicit GraphDevice(std::unique_ptr<Device> device) : device_(std::move(device)) {}

  const DeviceInfo& info() const override { return device_->info(); }
  Result<void*> allocate(uint64_t n_bytes) override { return device_->allocate(n_bytes); }
  void deallocate(void* memory) noexcept override {
    flush_before_release();
    device_->deallocate(memory);
  }
  Result<void*> allocate_pinned(uint64_t n_bytes) override { return device_->allocate_pinned(n_bytes); }
  void deallocate_pinned(void* memory) noexcept override {
    flush_before_release();
    device_->deallocate_pinned(memory);
  }

  void copy_to_device(void* device, const void* host, uint64_t n_bytes) override {
    flush();
    device_->copy_to_device(device, host, n_bytes);
  }
  void copy_to_host(void* host, const void* device, uint64_t n_bytes) override {
    flush();
    device_->copy_to_host(host, device, n_bytes);
  }
  void fill_with_zeros(void* device, uint64_t n_bytes) override {
    flush();
    device_->fill_with_zeros(device, n_bytes);
  }
  void launch(KernelId kernel, Grid grid, int n_shared_bytes, const void* args) override {
    if (is_timing_) return device_->launch(kernel, grid, n_shared_bytes, args);
    pending_.add({kernel, grid, n_shared_bytes, args});
  }
  std::unique_ptr<LaunchGraph> make_graph(std::span<const QueuedLaunch> launches) override {
    return device_->make_graph(launches);
  }
  void launch_graph(LaunchGraph& graph) override {
    flush();
    device_->launch_graph(graph);
  }
  void synchronize() override {
    flush();
    device_->synchronize();
  }
  /// What is timed comes never again: it shall neither become a graph nor take the place of one.
  double seconds_of(const std::function<void()>& work) override {
    flush();
    is_timing_ = true;
    const double seconds = device_->seconds_of(work);
    is_timing_ = false;
    return seconds;
  }

 private:
  /// Steps of some batch sizes, and their predecessors. A prompt's pass through it without a graph.
  static constexpr size_t kMostSteps = 16;
  /// What has fewer launches gains nothing: the ends of steps, the self-test.
  static constexpr size_t kFewestLaunches = 8;

  struct Step {
    LaunchList launches;
    std::unique_ptr<LaunchGraph> graph;  ///< from the second time on
  };

  /// What waits may use the memory. A device that fails says so again at the next call.
  void flush_before_release() noexcept {
    try {
      flush();
    } catch (const DeviceError&) {
      pending_.clear();
    }
  }

  void flush() {
    if (pending_.size() == 0) return;
    LaunchGraph* const graph = pending_.size() >= kFewestLaunches && makes_graphs_ ? find_graph() : nullptr;
    if (graph) {
      device_->launch_graph(*graph);
    } else {
      for (const QueuedLaunch& launch : pending_.launches())
        device_->launch(launch.kernel, launch.grid, launch.n_shared_bytes, launch.args);
    }
    pending_.clear();
  }

  /// nullptr: these launches are new, or the device makes no graphs. Instantiating one costs more than
  /// launches do, so only what comes a second time becomes one.
  LaunchGraph* find_graph() {
    const auto found = std::ranges::find(steps_, pending_, &Step::launches);
    if (found == steps_.end()) {
      if (steps_.size() == kMostSteps) {
        device_->synchronize();  // the oldest may still run
        steps_.pop_back();
      }
      steps_.push_front({pending_, nullptr});
      return nullptr;
    }
    // The last used one first.
    std::rotate(steps_.begin(), found, found + 1);
    Step& step = steps_.front();
    if (!step.graph) step.graph = device_->make_graph(step.launches.launches());
    makes_graphs_ = step.graph != nullptr;
    return step.graph.get();
  }

  std::unique_ptr<Device> device_;
  LaunchList pending_;
  std::deque<Step> steps_;
  bool makes_graphs_ = true;
  bool is_timing_ = false;
};

}  // namespace

std::unique_ptr<Device> make_graph_device(std::unique_ptr<Device> device) {
  return std::make_unique<GraphDevice>(std::move(device));
}

}  // namespace halod::hip

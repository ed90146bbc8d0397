// A device that passes everything on to the lanes, for tests that change or count something.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "runtime/backend/hip/lanes_device.h"

namespace halod::test {

class WrappedDevice : public hip::Device {
 public:
  const hip::DeviceInfo& info() const override { return device_->info(); }
  Result<void*> allocate(uint64_t n_bytes) override { return device_->allocate(n_bytes); }
  void deallocate(void* memory) noexcept override { device_->deallocate(memory); }
  Result<void*> allocate_pinned(uint64_t n_bytes) override { return device_->allocate_pinned(n_bytes); }
  void deallocate_pinned(void* memory) noexcept override { device_->deallocate_pinned(memory); }
  void copy_to_device(void* device, const void* host, uint64_t n_bytes) override {
    device_->copy_to_device(device, host, n_bytes);
  }
  void copy_to_host(void* host, const void* device, uint64_t n_bytes) override {
    device_->copy_to_host(host, device, n_bytes);
  }
  void fill_with_zeros(void* device, uint64_t n_bytes) override { device_->fill_with_zeros(device, n_bytes); }
  void launch(hip::KernelId kernel, hip::Grid grid, int n_shared_bytes, const void* args) override {
    device_->launch(kernel, grid, n_shared_bytes, args);
  }
  std::unique_ptr<hip::LaunchGraph> make_graph(std::span<const hip::QueuedLaunch> launches) override {
    return device_->make_graph(launches);
  }
  void launch_graph(hip::LaunchGraph& graph) override { device_->launch_graph(graph); }
  void synchronize() override { device_->synchronize(); }
  double seconds_of(const std::function<void()>& work) override { return device_->seconds_of(work); }

 private:
  std::unique_ptr<hip::Device> device_ = hip::make_lanes_device();
};

}  // namespace halod::test

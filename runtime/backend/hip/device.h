// A GPU as the backend sees it: memory, copies and kernel launches in the order of one stream.
//
// Two implementations: the HIP runtime (hip_device.h), and lanes on the CPU (lanes_device.h) for tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/error.h"
#include "kernels/hip/kernel_table.h"

namespace halod::hip {

struct DeviceInfo {
  std::string name;         ///< for people: "AMD Radeon Graphics"
  std::string target;       ///< "gfx1151", "lanes"
  int n_compute_units = 0;  ///< as the runtime counts them; 0 = unknown
  // What times depend on besides; "none" where there is no such thing.
  std::string runtime_version = "none";  ///< of HIP: "6.4.43483"
  std::string driver_version = "none";   ///< "amdgpu 6.14.14", "kernel 6.14.0-24"
  std::string kernel_hash = "none";      ///< of our own machine code
  /// What takes some milliseconds, so that who waits for the device does not wait long: 1 ms at 20 TFLOP/s.
  double operations_at_once = 2e10;
};

/// Blocks of a launch.
struct Grid {
  int64_t x = 1;
  int64_t y = 1;
};

/// A launch that is made later; the arguments are the caller's and stay until then.
struct QueuedLaunch {
  KernelId kernel = {};
  Grid grid;
  int n_shared_bytes = 0;
  const void* args = nullptr;
};

/// Launches that a device has made one of. Its device outlives it.
class LaunchGraph {
 public:
  virtual ~LaunchGraph() = default;
};

/// Throws DeviceError with a one-line reason where the device or its driver fails: it cannot be used any more
/// then. Thread: one at a time.
class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceInfo& info() const = 0;

  /// n_bytes > 0 of the device's memory, aligned to 256. Errors: kOutOfMemory.
  virtual Result<void*> allocate(uint64_t n_bytes) = 0;
  virtual void deallocate(void* memory) noexcept = 0;
  /// Host memory that the device copies from and to without help of the CPU. Errors: kOutOfMemory.
  virtual Result<void*> allocate_pinned(uint64_t n_bytes) = 0;
  virtual void deallocate_pinned(void* memory) noexcept = 0;

  // Ordered on the stream; they may return before they are done. Host memory is pinned, and left alone until
  // synchronize().
  virtual void copy_to_device(void* device, const void* host, uint64_t n_bytes) = 0;
  virtual void copy_to_host(void* host, const void* device, uint64_t n_bytes) = 0;
  virtual void fill_with_zeros(void* device, uint64_t n_bytes) = 0;
  virtual void launch(KernelId kernel, Grid grid, int n_shared_bytes, const void* args) = 0;

  /// The launches, one after the other, as one that may be made any number of times; their arguments are
  /// copied. Launches nothing. nullptr: the device cannot.
  virtual std::unique_ptr<LaunchGraph> make_graph(std::span<const QueuedLaunch> launches) = 0;
  virtual void launch_graph(LaunchGraph& graph) = 0;

  /// Waits for all of the above.
  virtual void synchronize() = 0;

  /// How long the launches of `work`, which waits for nothing, take on the device. Waits for them.
  virtual double seconds_of(const std::function<void()>& work) = 0;
};

/// Checks sizes against the kernel's row and launches it. Args is the type that the table names.
template <class Args>
void launch(Device& device, KernelId kernel, Grid grid, int n_shared_bytes, const Args& args) {
  const KernelRow& row = kernel_row(kernel);
  HALOD_ASSERT(sizeof args == row.args_bytes && n_shared_bytes <= row.max_shared_bytes);
  if (grid.x > 0 && grid.y > 0) device.launch(kernel, grid, n_shared_bytes, &args);
}

/// Device memory with an owner; the device must outlive it.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  static Result<DeviceMemory> allocate(Device& device, uint64_t n_bytes);
  DeviceMemory(DeviceMemory&& other) noexcept { *this = std::move(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;
  ~DeviceMemory();

  unsigned char* data() const { return data_; }
  template <class T>
  T* as(uint64_t byte_offset = 0) const {
    return reinterpret_cast<T*>(data_ + byte_offset);
  }
  uint64_t size() const { return size_; }

 private:
  DeviceMemory(Device& device, unsigned char* data, uint64_t size)
      : device_(&device), data_(data), size_(size) {}
  Device* device_ = nullptr;
  unsigned char* data_ = nullptr;
  uint64_t size_ = 0;
};

/// Pinned host memory with an owner; the device must outlive it.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  static Result<PinnedMemory> allocate(Device& device, uint64_t n_bytes);
  PinnedMemory(PinnedMemory&& other) noexcept { *this = std::move(other); }
  PinnedMemory& operator=(PinnedMemory&& other) noexcept;
  ~PinnedMemory();

  std::byte* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  PinnedMemory(Device& device, std::byte* data, uint64_t size) : device_(&device), data_(data), size_(size) {}
  Device* device_ = nullptr;
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace halod::hip

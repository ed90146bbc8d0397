// The lanes, whose kernels take as long as a test says: for tuning, where choices shall not depend on what
// else the machine does.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "tests/support/wrapped_device.h"

namespace halod::test {

/// What a device is to pretend, and what it has done.
struct Script {
  std::map<std::string, double> seconds;  ///< per launch of a kernel; a millisecond for all others
  std::string idle_kernel;                ///< computes nothing
  std::string inexact_kernel;             ///< whose first result has another last bit
  uint64_t most_bytes = UINT64_MAX;       ///< that one allocation may have
  std::set<std::string> timed;            ///< kernels
  std::map<std::string, int> launches;    ///< besides those that were timed
};

class ScriptedDevice final : public WrappedDevice {
 public:
  explicit ScriptedDevice(Script& script) : script_(script) {}
  Result<void*> allocate(uint64_t n_bytes) override {
    if (n_bytes > script_.most_bytes) return Error{ErrorCode::kOutOfMemory, "the device is full"};
    return WrappedDevice::allocate(n_bytes);
  }
  void launch(hip::KernelId kernel, hip::Grid grid, int n_shared_bytes, const void* args) override {
    const std::string name(hip::kernel_row(kernel).name);
    if (is_timing_) {
      const auto found = script_.seconds.find(name);
      elapsed_ += found == script_.seconds.end() ? 1e-3 : found->second;
      script_.timed.insert(name);
      return;
    }
    ++script_.launches[name];
    if (name == script_.idle_kernel) return;
    WrappedDevice::launch(kernel, grid, n_shared_bytes, args);
    if (name == script_.inexact_kernel)
      *static_cast<const hip::PromptLinearArgs*>(args)->y[0] *= 1.0F + 0x1p-22F;
  }
  double seconds_of(const std::function<void()>& work) override {
    is_timing_ = true;
    elapsed_ = 0;
    work();
    is_timing_ = false;
    return elapsed_;
  }

 private:
  Script& script_;
  bool is_timing_ = false;
  double elapsed_ = 0;
};

}  // namespace halod::test

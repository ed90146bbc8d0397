#include "tests/kernels/hip/cuda_device.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <functional>
#include <iterator>
#include <vector>

namespace halod::test {
namespace {

using hip::Grid;
using hip::KernelId;
using hip::KernelRow;

// Of cuda.h; part of the driver's binary interface.
constexpr int kOutOfMemory = 2;
constexpr int kMultiprocessors = 16;
constexpr int kMajor = 75, kMinor = 76;
constexpr int kMaxDynamicSharedBytes = 8;
/// What a launch may have without asking for it.
constexpr int kPlainSharedBytes = 48 << 10;

/// The functions of libcuda that are called, by the names that it exports: those that were changed once end
/// in _v2.
struct CudaApi {
  using Status = int;  ///< CUresult; 0 is success
  using Handle = void*;
  using Pointer = uint64_t;  ///< CUdeviceptr

  // NOLINTBEGIN(readability-identifier-naming): the library's own names
  Status (*cuInit)(unsigned flags) = nullptr;
  Status (*cuDeviceGetCount)(int* count) = nullptr;
  Status (*cuDeviceGetName)(char* name, int length, int device) = nullptr;
  Status (*cuDeviceGetAttribute)(int* value, int attribute, int device) = nullptr;
  Status (*cuDevicePrimaryCtxRetain)(Handle* context, int device) = nullptr;
  Status (*cuCtxSetCurrent)(Handle context) = nullptr;
  Status (*cuStreamCreate)(Handle* stream, unsigned flags) = nullptr;
  Status (*cuStreamSynchronize)(Handle stream) = nullptr;
  Status (*cuMemAlloc_v2)(Pointer* memory, size_t n_bytes) = nullptr;
  Status (*cuMemFree_v2)(Pointer memory) = nullptr;
  Status (*cuMemHostAlloc)(void** memory, size_t n_bytes, unsigned flags) = nullptr;
  Status (*cuMemFreeHost)(void* memory) = nullptr;
  Status (*cuMemcpyHtoDAsync_v2)(Pointer to, const void* from, size_t n_bytes, Handle stream) = nullptr;
  Status (*cuMemcpyDtoHAsync_v2)(void* to, Pointer from, size_t n_bytes, Handle stream) = nullptr;
  Status (*cuMemsetD8Async)(Pointer memory, unsigned char value, size_t n_bytes, Handle stream) = nullptr;
  Status (*cuModuleLoadData)(Handle* module, const void* image) = nullptr;
  Status (*cuModuleGetFunction)(Handle* function, Handle module, const char* name) = nullptr;
  Status (*cuFuncSetAttribute)(Handle function, int attribute, int value) = nullptr;
  Status (*cuLaunchKernel)(Handle function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                           unsigned block_x, unsigned block_y, unsigned block_z, unsigned n_shared_bytes,
                           Handle stream, void** args, void** extra) = nullptr;
  Status (*cuGetErrorString)(Status status, const char** text) = nullptr;
  // NOLINTEND(readability-identifier-naming)

  std::string text(Status status) const {
    const char* found = nullptr;
    cuGetErrorString(status, &found);
    return fmt::format("{} (CUDA error {})", found != nullptr ? found : "unknown", status);
  }
};

Error refusal(std::string reason) { return {ErrorCode::kUnsupported, std::move(reason)}; }

Result<CudaApi> open_driver(const std::string& driver) {
  // It stays open: the driver has threads of its own.
  void* library = dlopen(driver.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return refusal(fmt::format("there is no CUDA driver: {}", dlerror()));
  CudaApi api;
  std::string missing;
  const auto find = [&]<class Function>(const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    if (function == nullptr && missing.empty()) missing = name;
  };
#define HALOD_FIND(name) find(#name, api.name)
  HALOD_FIND(cuInit);
  HALOD_FIND(cuDeviceGetCount);
  HALOD_FIND(cuDeviceGetName);
  HALOD_FIND(cuDeviceGetAttribute);
  HALOD_FIND(cuDevicePrimaryCtxRetain);
  HALOD_FIND(cuCtxSetCurrent);
  HALOD_FIND(cuStreamCreate);
  HALOD_FIND(cuStreamSynchronize);
  HALOD_FIND(cuMemAlloc_v2);
  HALOD_FIND(cuMemFree_v2);
  HALOD_FIND(cuMemHostAlloc);
  HALOD_FIND(cuMemFreeHost);
  HALOD_FIND(cuMemcpyHtoDAsync_v2);
  HALOD_FIND(cuMemcpyDtoHAsync_v2);
  HALOD_FIND(cuMemsetD8Async);
  HALOD_FIND(cuModuleLoadData);
  HALOD_FIND(cuModuleGetFunction);
  HALOD_FIND(cuFuncSetAttribute);
  HALOD_FIND(cuLaunchKernel);
  HALOD_FIND(cuGetErrorString);
#undef HALOD_FIND
  if (!missing.empty()) return refusal(fmt::format("{} has no function {}", driver, missing));
  return api;
}

CudaApi::Pointer as_pointer(const void* memory) { return reinterpret_cast<CudaApi::Pointer>(memory); }

class CudaDevice final : public hip::Device {
 public:
  explicit CudaDevice(const CudaApi& api) : api_(api) {}

  Result<> open(const std::string& fatbin) {
    std::ifstream file(fatbin, std::ios::binary);
    const std::vector<char> image{std::istreambuf_iterator<char>(file), {}};
    if (image.empty()) return refusal(fmt::format("{}: no kernels in it", fatbin));
    int n_devices = 0;
    if (const int status = api_.cuInit(0)) return refusal("cuInit: " + api_.text(status));
    if (const int status = api_.cuDeviceGetCount(&n_devices))
      return refusal("cuDeviceGetCount: " + api_.text(status));
    if (n_devices == 0) return refusal("the CUDA driver finds no GPU");
    std::array<char, 256> name = {};
    int major = 0, minor = 0;
    api_.cuDeviceGetName(name.data(), static_cast<int>(name.size()) - 1, 0);
    api_.cuDeviceGetAttribute(&info_.n_compute_units, kMultiprocessors, 0);
    api_.cuDeviceGetAttribute(&major, kMajor, 0);
    api_.cuDeviceGetAttribute(&minor, kMinor, 0);
    info_.name = name.data();
    info_.target = fmt::format("sm_{}{}", major, minor);
    CudaApi::Handle context = nullptr, module = nullptr;
    if (const int status = api_.cuDevicePrimaryCtxRetain(&context, 0))
      return refusal("cuDevicePrimaryCtxRetain: " + api_.text(status));
    check(api_.cuCtxSetCurrent(context), "cuCtxSetCurrent");
    check(api_.cuStreamCreate(&stream_, 1), "cuStreamCreate");  // does not wait for the default stream
    if (const int status = api_.cuModuleLoadData(&module, image.data())) {
      return refusal(fmt::format("{} ({}) does not take {}: {}; HALOD_CUDA_ARCHITECTURES names the GPUs",
                                 info_.name, info_.target, fatbin, api_.text(status)));
    }
    for (const KernelRow& row : hip::kernel_table()) {
      CudaApi::Handle function = nullptr;
      check(api_.cuModuleGetFunction(&function, module, std::string(row.name).c_str()), row.name);
      if (row.max_shared_bytes > kPlainSharedBytes)
        check(api_.cuFuncSetAttribute(function, kMaxDynamicSharedBytes, row.max_shared_bytes), row.name);
      functions_.push_back(function);
    }
    return {};
  }

  const hip::DeviceInfo& info() const override { return info_; }
  Result<void*> allocate(uint64_t n_bytes) override {
    CudaApi::Pointer memory = 0;
    const int status = api_.cuMemAlloc_v2(&memory, n_bytes);
    return allocated(reinterpret_cast<void*>(memory), status, n_bytes);
  }
  void deallocate(void* memory) noexcept override { api_.cuMemFree_v2(as_pointer(memory)); }
  Result<void*> allocate_pinned(uint64_t n_bytes) override {
    void* memory = nullptr;
    const int status = api_.cuMemHostAlloc(&memory, n_bytes, 0);
    return allocated(memory, status, n_bytes);
  }
  void deallocate_pinned(void* memory) noexcept override { api_.cuMemFreeHost(memory); }
  void copy_to_device(void* device, const void* host, uint64_t n_bytes) override {
    check(api_.cuMemcpyHtoDAsync_v2(as_pointer(device), host, n_bytes, stream_), "copying to it");
  }
  void copy_to_host(void* host, const void* device, uint64_t n_bytes) override {
    check(api_.cuMemcpyDtoHAsync_v2(host, as_pointer(device), n_bytes, stream_), "copying from it");
  }
  void fill_with_zeros(void* device, uint64_t n_bytes) override {
    check(api_.cuMemsetD8Async(as_pointer(device), 0, n_bytes, stream_), "clearing memory");
  }
  void launch(KernelId kernel, Grid grid, int n_shared_bytes, const void* args) override {
    const KernelRow& row = hip::kernel_row(kernel);
    void* arguments[] = {const_cast<void*>(args)};  // copied by the driver, which has no const
    check(api_.cuLaunchKernel(functions_[static_cast<size_t>(kernel)], static_cast<unsigned>(grid.x),
                              static_cast<unsigned>(grid.y), 1, static_cast<unsigned>(row.n_threads), 1, 1,
                              static_cast<unsigned>(n_shared_bytes), stream_, arguments, nullptr),
          row.name);
  }
  std::unique_ptr<hip::LaunchGraph> make_graph(std::span<const hip::QueuedLaunch>) override {
    return nullptr;
  }
  void launch_graph(hip::LaunchGraph&) override {}
  void synchronize() override { check(api_.cuStreamSynchronize(stream_), "waiting for it"); }
  double seconds_of(const std::function<void()>& work) override {
    synchronize();
    const auto start = std::chrono::steady_clock::now();
    work();
    synchronize();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  void check(int status, std::string_view what) const {
    if (status != 0)
      throw DeviceError(fmt::format("{} failed at {}: {}", info_.name, what, api_.text(status)));
  }
  Result<void*> allocated(void* memory, int status, uint64_t n_bytes) const {
    if (status == kOutOfMemory)
      return Error{ErrorCode::kOutOfMemory, fmt::format("{} has no {} bytes left", info_.name, n_bytes)};
    check(status, "allocating memory");
    return memory;
  }

  CudaApi api_;
  hip::DeviceInfo info_;
  CudaApi::Handle stream_ = nullptr;
  std::vector<CudaApi::Handle> functions_;  // by KernelId
};

}  // namespace

Result<std::unique_ptr<hip::Device>> open_cuda_device(const std::string& fatbin, const std::string& driver) {
  const auto api = open_driver(driver);
  if (!api) return api.error();
  auto device = std::make_unique<CudaDevice>(*api);
  if (auto opened = device->open(fatbin); !opened) return opened.error();
  return std::unique_ptr<hip::Device>(std::move(device));
}

}  // namespace halod::test

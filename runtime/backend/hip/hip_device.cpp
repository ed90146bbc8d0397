#include "runtime/backend/hip/hip_device.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <array>
#include <vector>

#include "base/machine/gpu.h"
#include "kernels/hip/code_objects.h"
#include "runtime/backend/hip/hip_runtime.h"

namespace halod::hip {
namespace {

// Of hip_runtime_api.h; the same from ROCm 5 to 7.
constexpr int kOutOfMemory = 2;
constexpr int kNoDevice = 100;
constexpr int kHostToDevice = 1;
constexpr int kDeviceToHost = 2;
constexpr unsigned kStreamNonBlocking = 1;
/// What other threads do at the same time (allocating, say) does not end a capture.
constexpr int kCaptureOfThisThread = 1;
constexpr int kAttributeMultiprocessors = 63;
constexpr int kAttributeWarpSize = 87;

Error refusal(std::string reason) { return {ErrorCode::kUnsupported, std::move(reason), "backend"}; }

/// "6.4.43483" of 60443483.
std::string version_text(int version) {
  constexpr int kMajor = 10'000'000, kMinor = 100'000;
  return fmt::format("{}.{}.{}", version / kMajor, version % kMajor / kMinor, version % kMinor);
}

/// FNV-1a: told apart shall be builds, not adversaries.
std::string hash_text(std::span<const std::byte> bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const std::byte byte : bytes) hash = (hash ^ std::to_integer<uint64_t>(byte)) * 0x100000001b3;
  return fmt::format("{:016x}", hash);
}

struct HipGraph final : LaunchGraph {
  HipGraph(std::shared_ptr<const HipApi> api_of_it, HipApi::Handle handle)
      : api(std::move(api_of_it)), executable(handle) {}
  ~HipGraph() override { api->hipGraphExecDestroy(executable); }
  HipGraph(const HipGraph&) = delete;
  HipGraph& operator=(const HipGraph&) = delete;

  std::shared_ptr<const HipApi> api;
  HipApi::Handle executable;
};

class HipDevice final : public Device {
 public:
  static Result<std::unique_ptr<Device>> open(const std::string& library) {
    if (code_objects().empty())
      return refusal(
          "this build has no GPU kernels; build it with a clang for AMD GPUs (clang-19 lld-19 llvm-19) "
          "installed");
    auto api = open_hip_runtime(library);
    if (!api) return api.error();
    std::unique_ptr<HipDevice> device(new HipDevice(std::move(*api)));
    if (auto opened = device->find_device(); !opened) return opened.error();
    if (auto loaded = device->load_kernels(); !loaded) return loaded.error();
    return std::unique_ptr<Device>(std::move(device));
  }

  ~HipDevice() override {
    // What fails now fails with the process.
    for (const HipApi::Handle event : events_) {
      if (event) api_->hipEventDestroy(event);
    }
    if (stream_) api_->hipStreamDestroy(stream_);
    if (module_) api_->hipModuleUnload(module_);
  }

  const DeviceInfo& info() const override { return info_; }

  Result<void*> allocate(uint64_t n_bytes) override {
    void* memory = nullptr;
    return allocated(memory, api_->hipMalloc(&memory, n_bytes), n_bytes, "of the GPU's memory");
  }
  void deallocate(void* memory) noexcept override { api_->hipFree(memory); }
  Result<void*> allocate_pinned(uint64_t n_bytes) override {
    void* memory = nullptr;
    return allocated(memory, api_->hipHostMalloc(&memory, n_bytes, 0), n_bytes, "of pinned memory");
  }
  void deallocate_pinned(void* memory) noexcept override { api_->hipHostFree(memory); }

  void copy_to_device(void* device, const void* host, uint64_t n_bytes) override {
    check(api_->hipMemcpyAsync(device, host, n_bytes, kHostToDevice, stream_), "copying to it");
  }
  void copy_to_host(void* host, const void* device, uint64_t n_bytes) override {
    check(api_->hipMemcpyAsync(host, device, n_bytes, kDeviceToHost, stream_), "copying from it");
  }
  void fill_with_zeros(void* device, uint64_t n_bytes) override {
    check(api_->hipMemsetAsync(device, 0, n_bytes, stream_), "clearing memory");
  }
  void launch(KernelId kernel, Grid grid, int n_shared_bytes, const void* args) override {
    check(launch_status({kernel, grid, n_shared_bytes, args}), kernel_row(kernel).name);
  }
  std::unique_ptr<LaunchGraph> make_graph(std::span<const QueuedLaunch> launches) override {
    if (api_->hipStreamBeginCapture(stream_, kCaptureOfThisThread) != 0) return nullptr;
    int status = 0;
    for (size_t i = 0; i < launches.size() && status == 0; ++i) status = launch_status(launches[i]);
    HipApi::Handle graph = nullptr, executable = nullptr;
    // A stream that is left capturing takes nothing else.
    if (const int ended = api_->hipStreamEndCapture(stream_, &graph); status == 0) status = ended;
    if (status == 0) status = api_->hipGraphInstantiate(&executable, graph, nullptr, nullptr, 0);
    if (graph) api_->hipGraphDestroy(graph);
    if (status != 0) {
      spdlog::warn("{}: no graph of {} launches: {} (HIP error {}); launching one by one", info_.name,
                   launches.size(), api_->hipGetErrorString(status), status);
      return nullptr;
    }
    return std::make_unique<HipGraph>(api_, executable);
  }
  void launch_graph(LaunchGraph& graph) override {
    check(api_->hipGraphLaunch(static_cast<HipGraph&>(graph).executable, stream_), "launching a graph");
  }
  void synchronize() override { check(api_->hipStreamSynchronize(stream_), "waiting for it"); }
  double seconds_of(const std::function<void()>& work) override {
    for (HipApi::Handle& event : events_) {
      if (!event) check(api_->hipEventCreate(&event), "creating an event");
    }
    // What is still queued is none of the work's.
    synchronize();
    check(api_->hipEventRecord(events_[0], stream_), "recording an event");
    work();
    check(api_->hipEventRecord(events_[1], stream_), "recording an event");
    check(api_->hipEventSynchronize(events_[1]), "waiting for it");
    float milliseconds = 0;
    check(api_->hipEventElapsedTime(&milliseconds, events_[0], events_[1]), "asking for a time");
    return 1e-3 * static_cast<double>(milliseconds);
  }

 private:
  explicit HipDevice(std::shared_ptr<const HipApi> api) : api_(std::move(api)) {}

  int launch_status(const QueuedLaunch& launch) const {
    // The runtime takes a pointer to each argument and copies what it points to; it has no const.
    void* arguments[] = {const_cast<void*>(launch.args)};
    return api_->hipModuleLaunchKernel(
        functions_[static_cast<size_t>(launch.kernel)], static_cast<unsigned>(launch.grid.x),
        static_cast<unsigned>(launch.grid.y), 1, static_cast<unsigned>(kernel_row(launch.kernel).n_threads),
        1, 1, static_cast<unsigned>(launch.n_shared_bytes), stream_, arguments, nullptr);
  }

  void check(int status, std::string_view what) const {
    if (status == 0) return;
    throw DeviceError(fmt::format("{} ({}) failed at {}: {} (HIP error {})", info_.name, info_.target, what,
                                  api_->hipGetErrorString(status), status));
  }

  Result<void*> allocated(void*& memory, int status, uint64_t n_bytes, std::string_view kind) const {
    if (status == kOutOfMemory) {
      return Error{
          .code = ErrorCode::kOutOfMemory,
          .message = fmt::format(
              "{} ({}) has no {} bytes {} left; unload a model, choose a smaller context, or let the GPU "
              "have more of the machine's memory (haloctl doctor says how)",
              info_.name, info_.target, n_bytes, kind),
          .needed_bytes = n_bytes};
    }
    check(status, "allocating memory");
    return memory;
  }

  Error failure(std::string_view call, int status) const {
    return refusal(fmt::format("{}: {} failed: {} (HIP error {})", api_->library, call,
                               api_->hipGetErrorString(status), status));
  }

  Error no_device() const {
    return refusal(
        fmt::format("{} finds no AMD GPU: {} (HIP error {}); haloctl doctor says what may be missing",
                    api_->library, api_->hipGetErrorString(kNoDevice), kNoDevice));
  }

  Result<> find_device() {
    int n_devices = 0;
    // ROCm 6.4 without a GPU says so here already.
    const int initialised = api_->hipInit(0);
    const int counted = initialised == 0 ? api_->hipGetDeviceCount(&n_devices) : initialised;
    if (counted == kNoDevice || (counted == 0 && n_devices == 0)) return no_device();
    if (initialised != 0) return failure("hipInit", initialised);
    if (counted != 0) return failure("hipGetDeviceCount", counted);
    if (const int status = api_->hipSetDevice(0)) return failure("hipSetDevice", status);
    std::array<char, 256> name = {};
    if (api_->hipDeviceGetName(name.data(), static_cast<int>(name.size()) - 1, 0) == 0)
      info_.name = name.data();
    if (info_.name.empty()) info_.name = "AMD GPU";
    int value = 0;
    if (api_->hipDeviceGetAttribute(&value, kAttributeMultiprocessors, 0) == 0) info_.n_compute_units = value;
    if (const int status = api_->hipDeviceGetAttribute(&value, kAttributeWarpSize, 0))
      return failure("hipDeviceGetAttribute", status);
    constexpr int kWaveLanes = 32;
    if (value != kWaveLanes)
      return refusal(fmt::format("{} has waves of {} lanes; halod's kernels are for {} (RDNA 3)", info_.name,
                                 value, kWaveLanes));
    if (api_->hipRuntimeGetVersion(&value) == 0) info_.runtime_version = version_text(value);
    info_.driver_version = amdgpu_driver_version("/");
    if (const int status = api_->hipStreamCreateWithFlags(&stream_, kStreamNonBlocking))
      return failure("hipStreamCreateWithFlags", status);
    return {};
  }

  /// The runtime takes no code object but one for the device it has: the first that it takes tells which one
  /// that is.
  Result<> load_kernels() {
    std::vector<std::string_view> refused;
    std::string reason;
    for (const CodeObject& object : code_objects()) {
      const int status = api_->hipModuleLoadData(&module_, object.image.data());
      if (status == 0) {
        info_.target = object.target;
        info_.kernel_hash = hash_text(object.image);
        break;
      }
      module_ = nullptr;
      refused.push_back(object.target);
      reason = fmt::format("{} (HIP error {})", api_->hipGetErrorString(status), status);
    }
    if (module_ == nullptr) {
      return refusal(fmt::format("{} takes none of this build's kernels, which are for {}: {}", info_.name,
                                 fmt::join(refused, ", "), reason));
    }
    for (const KernelRow& row : kernel_table()) {
      HipApi::Handle function = nullptr;
      const int status = api_->hipModuleGetFunction(&function, module_, std::string(row.name).c_str());
      if (status != 0) return failure(fmt::format("hipModuleGetFunction({})", row.name), status);
      functions_.push_back(function);
    }
    return {};
  }

  std::shared_ptr<const HipApi> api_;
  DeviceInfo info_;
  HipApi::Handle stream_ = nullptr, module_ = nullptr;
  std::array<HipApi::Handle, 2> events_ = {};  // made when something is timed
  std::vector<HipApi::Handle> functions_;      // by KernelId
};

}  // namespace

Result<std::unique_ptr<Device>> open_hip_device(const std::string& library) {
  return HipDevice::open(library);
}

}  // namespace halod::hip

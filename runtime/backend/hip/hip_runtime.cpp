#include "runtime/backend/hip/hip_runtime.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <vector>

namespace halod::hip {
namespace {

template <class Function>
void find_function(void* handle, const char* name, Function& function, std::string& missing) {
  // POSIX gives dlsym's pointer this meaning; C++ calls the cast conditionally supported.
  function = reinterpret_cast<Function>(dlsym(handle, name));
  if (function == nullptr && missing.empty()) missing = name;
}

}  // namespace

Result<std::shared_ptr<const HipApi>> open_hip_runtime(const std::string& library) {
  std::vector<std::string> names = {"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5"};
  if (!library.empty()) names = {library};
  void* handle = nullptr;
  std::string first_reason;
  auto api = std::make_shared<HipApi>();
  for (const std::string& name : names) {
    handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle) {
      api->library = name;
      break;
    }
    const char* reason = dlerror();
    if (first_reason.empty() && reason != nullptr) first_reason = reason;
  }
  if (handle == nullptr) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("the HIP runtime cannot be opened ({}); install libamdhip64 of ROCm 5 to 7, or "
                             "tell ldconfig where it is",
                             first_reason),
                 "backend"};
  }
  std::string missing;
#define HALOD_FIND(name) find_function(handle, #name, api->name, missing)
  HALOD_FIND(hipInit);
  HALOD_FIND(hipGetDeviceCount);
  HALOD_FIND(hipSetDevice);
  HALOD_FIND(hipDeviceGetName);
  HALOD_FIND(hipDeviceGetAttribute);
  HALOD_FIND(hipRuntimeGetVersion);
  HALOD_FIND(hipStreamCreateWithFlags);
  HALOD_FIND(hipStreamDestroy);
  HALOD_FIND(hipStreamSynchronize);
  HALOD_FIND(hipMalloc);
  HALOD_FIND(hipFree);
  HALOD_FIND(hipHostMalloc);
  HALOD_FIND(hipHostFree);
  HALOD_FIND(hipMemcpyAsync);
  HALOD_FIND(hipMemsetAsync);
  HALOD_FIND(hipModuleLoadData);
  HALOD_FIND(hipModuleUnload);
  HALOD_FIND(hipModuleGetFunction);
  HALOD_FIND(hipModuleLaunchKernel);
  HALOD_FIND(hipStreamBeginCapture);
  HALOD_FIND(hipStreamEndCapture);
  HALOD_FIND(hipGraphInstantiate);
  HALOD_FIND(hipGraphLaunch);
  HALOD_FIND(hipGraphDestroy);
  HALOD_FIND(hipGraphExecDestroy);
  HALOD_FIND(hipEventCreate);
  HALOD_FIND(hipEventDestroy);
  HALOD_FIND(hipEventRecord);
  HALOD_FIND(hipEventSynchronize);
  HALOD_FIND(hipEventElapsedTime);
  HALOD_FIND(hipGetErrorString);
#undef HALOD_FIND
  if (!missing.empty()) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("{} has no function {}; it is not a HIP runtime that halod knows (ROCm 5 to 7)",
                             api->library, missing),
                 "backend"};
  }
  return std::shared_ptr<const HipApi>(std::move(api));
}

}  // namespace halod::hip

// AMD's HIP runtime, opened when the program runs: halod is built without it and starts without it.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/error.h"

namespace halod::hip {

/// The functions of libamdhip64 that halod calls. Their signatures are the same in ROCm 5, 6 and 7; structs,
/// which are not, are left alone.
struct HipApi {
  using Status = int;  ///< hipError_t; 0 is success
  using Handle = void*;

  // NOLINTBEGIN(readability-identifier-naming): the library's own names
  Status (*hipInit)(unsigned flags) = nullptr;
  Status (*hipGetDeviceCount)(int* count) = nullptr;
  Status (*hipSetDevice)(int device) = nullptr;
  Status (*hipDeviceGetName)(char* name, int length, int device) = nullptr;
  Status (*hipDeviceGetAttribute)(int* value, int attribute, int device) = nullptr;
  Status (*hipRuntimeGetVersion)(int* version) = nullptr;
  Status (*hipStreamCreateWithFlags)(Handle* stream, unsigned flags) = nullptr;
  Status (*hipStreamDestroy)(Handle stream) = nullptr;
  Status (*hipStreamSynchronize)(Handle stream) = nullptr;
  Status (*hipMalloc)(void** memory, size_t n_bytes) = nullptr;
  Status (*hipFree)(void* memory) = nullptr;
  Status (*hipHostMalloc)(void** memory, size_t n_bytes, unsigned flags) = nullptr;
  Status (*hipHostFree)(void* memory) = nullptr;
  Status (*hipMemcpyAsync)(void* to, const void* from, size_t n_bytes, int kind, Handle stream) = nullptr;
  Status (*hipMemsetAsync)(void* memory, int value, size_t n_bytes, Handle stream) = nullptr;
  Status (*hipModuleLoadData)(Handle* module, const void* image) = nullptr;
  Status (*hipModuleUnload)(Handle module) = nullptr;
  Status (*hipModuleGetFunction)(Handle* function, Handle module, const char* name) = nullptr;
  Status (*hipModuleLaunchKernel)(Handle function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                                  unsigned block_x, unsigned block_y, unsigned block_z,
                                  unsigned n_shared_bytes, Handle stream, void** args,
                                  void** extra) = nullptr;
  Status (*hipStreamBeginCapture)(Handle stream, int mode) = nullptr;
  Status (*hipStreamEndCapture)(Handle stream, Handle* graph) = nullptr;
  Status (*hipGraphInstantiate)(Handle* executable, Handle graph, Handle* error_node, char* log,
                                size_t n_log_bytes) = nullptr;
  Status (*hipGraphLaunch)(Handle executable, Handle stream) = nullptr;
  Status (*hipGraphDestroy)(Handle graph) = nullptr;
  Status (*hipGraphExecDestroy)(Handle executable) = nullptr;
  Status (*hipEventCreate)(Handle* event) = nullptr;
  Status (*hipEventDestroy)(Handle event) = nullptr;
  Status (*hipEventRecord)(Handle event, Handle stream) = nullptr;
  Status (*hipEventSynchronize)(Handle event) = nullptr;
  Status (*hipEventElapsedTime)(float* milliseconds, Handle start, Handle stop) = nullptr;
  const char* (*hipGetErrorString)(Status status) = nullptr;
  // NOLINTEND(readability-identifier-naming)

  std::string library;  ///< which one was opened
};

/// Opens libamdhip64.so.7, .6 or .5, or `library` where it is not empty. It stays open: the runtime has
/// threads of its own. Errors: kUnsupported with the reason, such as that there is none or that a function is
/// missing. Thread: any.
Result<std::shared_ptr<const HipApi>> open_hip_runtime(const std::string& library = {});

}  // namespace halod::hip

// A library with the functions of libamdhip64 that leads halod into one dead end, named by HALOD_FAKE_HIP:
// "no device" or "other device"; or, as "idle device", takes all launches and makes none. It can compute
// nothing.
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

constexpr int kNoDevice = 100;
constexpr int kNoBinaryForGpu = 209;
constexpr int kNotSupported = 801;
constexpr int kAttributeWarpSize = 87;

int n_launches = 0;

bool plays(std::string_view part) {
  const char* chosen = std::getenv("HALOD_FAKE_HIP");
  return chosen != nullptr && chosen == part;
}

}  // namespace

extern "C" {

/// As ROCm 6.4's.
int hipInit(unsigned) { return plays("no device") ? kNoDevice : 0; }
int hipGetDeviceCount(int* count) {
  *count = plays("no device") ? 0 : 1;
  return plays("no device") ? kNoDevice : 0;
}
int hipSetDevice(int) { return 0; }
int hipDeviceGetName(char* name, int length, int) {
  std::strncpy(name, "Radeon of another kind", static_cast<size_t>(length));
  return 0;
}
int hipDeviceGetAttribute(int* value, int attribute, int) {
  *value = attribute == kAttributeWarpSize ? 32 : 20;
  return 0;
}
int hipRuntimeGetVersion(int* version) {
  *version = 60400000;
  return 0;
}
int hipStreamCreateWithFlags(void** stream, unsigned) {
  *stream = stream;
  return 0;
}
int hipStreamDestroy(void*) { return 0; }
int hipStreamSynchronize(void*) { return 0; }
int hipMalloc(void**, size_t) { return kNotSupported; }
int hipFree(void*) { return 0; }
int hipHostMalloc(void**, size_t, unsigned) { return kNotSupported; }
int hipHostFree(void*) { return 0; }
int hipMemcpyAsync(void*, const void*, size_t, int, void*) { return kNotSupported; }
int hipMemsetAsync(void*, int, size_t, void*) { return kNotSupported; }
int hipModuleLoadData(void** module, const void*) {
  *module = module;
  return plays("idle device") ? 0 : kNoBinaryForGpu;
}
int hipModuleUnload(void*) { return 0; }
int hipModuleGetFunction(void**, void*, const char*) { return plays("idle device") ? 0 : kNotSupported; }
int hipModuleLaunchKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*,
                          void**, void**) {
  if (!plays("idle device")) return kNotSupported;
  ++n_launches;
  return 0;
}
int hipStreamBeginCapture(void*, int) { return kNotSupported; }
int hipStreamEndCapture(void*, void**) { return kNotSupported; }
int hipGraphInstantiate(void**, void*, void**, char*, size_t) { return kNotSupported; }
int hipGraphLaunch(void*, void*) { return kNotSupported; }
int hipGraphDestroy(void*) { return 0; }
int hipGraphExecDestroy(void*) { return 0; }
// An event is the number of launches before it, and each takes a quarter of a millisecond.
int hipEventCreate(void** event) {
  *event = new int(-1);
  return 0;
}
int hipEventDestroy(void* event) {
  delete static_cast<int*>(event);
  return 0;
}
int hipEventRecord(void* event, void*) {
  *static_cast<int*>(event) = n_launches;
  return 0;
}
int hipEventSynchronize(void*) { return 0; }
int hipEventElapsedTime(float* milliseconds, void* start, void* stop) {
  *milliseconds = 0.25F * static_cast<float>(*static_cast<int*>(stop) - *static_cast<int*>(start));
  return 0;
}
const char* hipGetErrorString(int status) {
  return status == kNoDevice ? "no ROCm-capable device is detected"
                             : "no kernel image is available for execution on the device";
}

}  // extern "C"

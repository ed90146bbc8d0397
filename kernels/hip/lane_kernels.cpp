// The one place where kernels are compiled for the lanes.
#include "kernels/hip/lane_kernels.h"

#include "kernels/hip/kernels.hip"

namespace halod::hip {
namespace {

template <class Args, void (*kernel)(const Args&)>
void run(const void* args) {
  kernel(*static_cast<const Args*>(args));
}

constexpr LaneKernel kLaneKernels[] = {
#define HALOD_ROW(name, Args, ...) run<Args, lanes_##name>,
    HALOD_HIP_KERNELS(HALOD_ROW)
#undef HALOD_ROW
};

#define HALOD_ROW(name, Args, family, n_threads, ...) \
  static_assert(lanes_##name##_threads == n_threads, "the kernel is written for another number of threads");
HALOD_HIP_KERNELS(HALOD_ROW)
#undef HALOD_ROW

}  // namespace

LaneKernel lane_kernel(KernelId id) { return kLaneKernels[static_cast<size_t>(id)]; }

}  // namespace halod::hip

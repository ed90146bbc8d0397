// The kernels as functions that the lanes run (kernels/hip/dialect/lane_scheduler.h).
#pragma once

#include "kernels/hip/kernel_table.h"

namespace halod::hip {

using LaneKernel = void (*)(const void* args);
/// The kernel's function; `args` points to its argument struct. Thread: any.
LaneKernel lane_kernel(KernelId id);

}  // namespace halod::hip

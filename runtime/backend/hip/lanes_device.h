// A device whose kernels run on the CPU, a fiber per lane: every kernel without a GPU. For tests and
// halo-bench; a thousand times slower than the CPU backend, and nothing to serve with.
#pragma once

#include <memory>

#include "runtime/backend/hip/device.h"

namespace halod::hip {

/// Memory is filled with NaNs when it is allocated. A kernel's mistake that a GPU would answer with chance
/// ends the program (kernels/hip/dialect/lane_scheduler.h).
std::unique_ptr<Device> make_lanes_device();

}  // namespace halod::hip

// The first AMD GPU that the HIP runtime offers and that this build has machine code for.
#pragma once

#include <memory>
#include <string>

#include "runtime/backend/hip/device.h"

namespace halod::hip {

/// Opens the runtime (`library` as open_hip_runtime()), the device, and loads the kernels.
/// Errors: kUnsupported with the reason: no runtime, no device, no kernels in this build or none for this
/// device.
Result<std::unique_ptr<Device>> open_hip_device(const std::string& library = {});

}  // namespace halod::hip

// An NVIDIA GPU through CUDA's driver, opened when the program runs: to try the kernels where there is no AMD
// GPU. Not for serving: matrix products go by shuffles (kernels/hip/dialect/cuda.h).
#pragma once

#include <memory>
#include <string>

#include "runtime/backend/hip/device.h"

namespace halod::test {

/// The first GPU, with the kernels that nvcc made of kernels/hip/kernels.hip (a fatbin). Errors: kUnsupported
/// with the reason, such as that there is no driver, no GPU, or that the file is for other GPUs.
Result<std::unique_ptr<hip::Device>> open_cuda_device(const std::string& fatbin,
                                                      const std::string& driver = "libcuda.so.1");

}  // namespace halod::test

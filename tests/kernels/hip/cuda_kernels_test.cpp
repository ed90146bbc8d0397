// The kernels by nvcc on an NVIDIA GPU, by the checks that an AMD GPU must pass when it is opened. Skipped,
// with the reason, where there is no such GPU.
#include <gtest/gtest.h>

#include "runtime/backend/hip/kernel_checks.h"
#include "tests/kernels/hip/cuda_device.h"

namespace halod::hip {
namespace {

TEST(EveryKernelByNvcc, MatchesTheReferenceOnAnNvidiaGpu) {
  const auto device = test::open_cuda_device(HALOD_CUDA_KERNELS);
  if (!device) GTEST_SKIP() << "no kernel was run: " << device.error().message;
  int n_checks = 0;
  for (const SelfTest& self_test : self_tests()) {
    for (const KernelCheck& check : self_test(**device)) {
      EXPECT_TRUE(check.passed()) << check.what << ": NMSE " << check.nmse;
      ++n_checks;
    }
  }
  RecordProperty("gpu", (*device)->info().name);
  RecordProperty("checks", n_checks);
}

TEST(TheCudaDevice, IsRefusedWithoutADriver) {
  const auto device = test::open_cuda_device(HALOD_CUDA_KERNELS, "libcuda-of-nobody.so");
  ASSERT_FALSE(device);
  EXPECT_NE(device.error().message.find("there is no CUDA driver: libcuda-of-nobody.so"), std::string::npos)
      << device.error().message;
}

}  // namespace
}  // namespace halod::hip

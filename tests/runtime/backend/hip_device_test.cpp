// What happens where there is no GPU to compute on.
#include "runtime/backend/hip/hip_device.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "kernels/hip/code_objects.h"
#include "runtime/backend/backend.h"
#include "runtime/backend/hip/hip_runtime.h"

namespace halod::hip {
namespace {

void expect_refusal(const Result<std::unique_ptr<Device>>& device, std::string_view what) {
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(device.error().field, "backend");
  EXPECT_NE(device.error().message.find(what), std::string::npos) << device.error().message;
}

/// The runtime is asked only where the build has kernels for it.
class TheHipDevice : public testing::Test {
 protected:
  void SetUp() override {
    if (code_objects().empty())
      GTEST_SKIP() << "this build has no GPU kernels: HALOD_HIP=OFF, or no clang with AMD's target";
  }
};

TEST_F(TheHipDevice, IsRefusedWithoutARuntime) {
  expect_refusal(open_hip_device("libamdhip64-of-nobody.so"), "cannot be opened (libamdhip64-of-nobody.so");
}

TEST_F(TheHipDevice, IsRefusedWhereTheLibraryIsAnother) {
  const auto api = open_hip_runtime("libm.so.6");
  ASSERT_FALSE(api);
  EXPECT_NE(api.error().message.find("libm.so.6 has no function hipInit"), std::string::npos)
      << api.error().message;
}

TEST_F(TheHipDevice, IsRefusedWhereTheRuntimeFindsNone) {
  setenv("HALOD_FAKE_HIP", "no device", 1);
  const auto device = open_hip_device(FAKE_HIP_RUNTIME);
  expect_refusal(device,
                 "finds no AMD GPU: no ROCm-capable device is detected (HIP error 100); haloctl doctor");
}

TEST_F(TheHipDevice, IsRefusedWhereTheKernelsAreForOthers) {
  setenv("HALOD_FAKE_HIP", "other device", 1);
  const auto device = open_hip_device(FAKE_HIP_RUNTIME);
  expect_refusal(device, "Radeon of another kind takes none of this build's kernels");
  for (const CodeObject& object : code_objects())
    EXPECT_NE(device.error().message.find(object.target), std::string::npos) << device.error().message;
}

TEST_F(TheHipDevice, SaysWhatTimesDependOn) {
  setenv("HALOD_FAKE_HIP", "idle device", 1);
  const auto device = open_hip_device(FAKE_HIP_RUNTIME);
  ASSERT_TRUE(device) << device.error().message;
  const DeviceInfo& info = (*device)->info();
  EXPECT_EQ(info.target, code_objects().front().target);
  EXPECT_EQ(info.n_compute_units, 20);
  EXPECT_EQ(info.runtime_version, "6.4.0");
  EXPECT_FALSE(info.driver_version.empty());
  EXPECT_EQ(info.kernel_hash.size(), 16U);
  EXPECT_NE(info.kernel_hash, "cbf29ce484222325") << "the hash of nothing";
}

TEST_F(TheHipDevice, TimesLaunchesByEvents) {
  setenv("HALOD_FAKE_HIP", "idle device", 1);
  const auto device = open_hip_device(FAKE_HIP_RUNTIME);
  ASSERT_TRUE(device) << device.error().message;
  const GatherArgs args{};
  launch(**device, KernelId::gather, {}, 0, args);
  for (const int n : {1, 8}) {
    const double seconds = (*device)->seconds_of([&] {
      for (int i = 0; i < n; ++i) launch(**device, KernelId::gather, {}, 0, args);
    });
    EXPECT_DOUBLE_EQ(seconds, 0.25e-3 * n);
  }
}

TEST(TheCodeObjects, AreMachineCodeForAmdGpus) {
  for (const CodeObject& object : code_objects()) {
    ASSERT_GT(object.image.size(), 1000U) << object.target;
    EXPECT_EQ(static_cast<char>(object.image[1]), 'E');
    constexpr size_t kMachine = 18;
    constexpr int kAmdGpu = 224;
    EXPECT_EQ(std::to_integer<int>(object.image[kMachine]), kAmdGpu) << object.target;
  }
}

TEST(TheBackend, IsTheCpuWhereItMayBeAndThereIsNoGpu) {
  if (open_hip_device()) GTEST_SKIP() << "this machine has an AMD GPU";
  EXPECT_EQ(make_backend({.kind = "auto", .n_threads = 1}).value()->name(), "cpu");
}

TEST(TheBackend, IsRefusedWithTheReasonWhereItMustBeTheGpu) {
  if (open_hip_device()) GTEST_SKIP() << "this machine has an AMD GPU";
  const auto backend = make_backend({.kind = "hip", .n_threads = 1});
  ASSERT_FALSE(backend);
  EXPECT_EQ(backend.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(backend.error().message.find("backend 'hip': "), std::string::npos) << backend.error().message;
}

TEST(TheBackend, IsOneOfThree) {
  EXPECT_EQ(make_backend({.kind = "vulkan"}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(make_backend({.kind = "hip-lanes"}).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace halod::hip

#include "base/machine/machine.h"

#include <gtest/gtest.h>

#include "base/machine/disk.h"
#include "base/machine/text_file.h"
#include "tests/support/recorded_machine.h"

namespace halod {
namespace {

using test::RecordedMachine;

std::filesystem::path recorded(const std::string& name) {
  return std::filesystem::path(HALOD_SOURCE_DIR) / "tests/cli/doctor/machines" / (name + ".txt");
}

TEST(ARecordedMachine, IsReadFromARecordedTree) {
  const RecordedMachine tree(recorded("strix_halo_128"));
  const Machine machine = read_machine(tree.root());
  EXPECT_FALSE(machine.is_live());
  EXPECT_EQ(machine.kernel.release, "6.18.6-200.fc43.x86_64");
  EXPECT_EQ(machine.kernel.distribution, "Fedora Linux 43 (Server Edition)");
  EXPECT_EQ(machine.kernel.distribution_id, "fedora");
  EXPECT_EQ(machine.kernel.argument("ttm.pages_limit"), "31457280");
  EXPECT_EQ(machine.kernel.argument("quiet"), "");
  EXPECT_EQ(machine.kernel.argument("ttm"), std::nullopt);
  EXPECT_EQ(machine.iommu.mode, IommuMode::kPassThrough);
  EXPECT_EQ(machine.power.platform_profile, "performance");
  EXPECT_EQ(machine.power.cpu_driver, "amd-pstate-epp");
  EXPECT_EQ(machine.gpu_memory_limits.ttm_limit_bytes(), uint64_t{120} << 30);
  EXPECT_EQ(machine.gpu_memory_limits.amdgpu_gttsize_mib, 122880);
  EXPECT_EQ(machine.memory->available_bytes, uint64_t{116} << 30);
  ASSERT_TRUE(machine.rocm);
  EXPECT_EQ(machine.rocm->library, "/usr/lib64/libamdhip64.so.7");
}

TEST(ARecordedMachine, HasADriverOfItsOwnVersionOrTheKernels) {
  const RecordedMachine tree(recorded("strix_halo_128"));
  tree.remove("sys/module/amdgpu/version");
  EXPECT_EQ(amdgpu_driver_version(tree.root()), "kernel 6.18.6-200.fc43.x86_64");
  tree.write("sys/module/amdgpu/version", "6.12.12\n");
  EXPECT_EQ(amdgpu_driver_version(tree.root()), "amdgpu 6.12.12");
  EXPECT_EQ(amdgpu_driver_version("/no such root"), "unknown");
}

TEST(ARecordedMachine, KnowsItsGpuAndTheFirmwareThatIsLoaded) {
  const RecordedMachine tree(recorded("strix_halo_128"));
  const Machine machine = read_machine(tree.root());
  ASSERT_EQ(machine.gpus.size(), 1U);  // the connector card1-HDMI-A-1 is none
  const Gpu& gpu = *machine.gpu();
  EXPECT_EQ(gpu.card, "card1");
  EXPECT_EQ(gpu.gfx_target, "gfx1151");
  EXPECT_EQ(gpu.pci_device, 0x1586U);
  EXPECT_EQ(gpu.render_node, "renderD128");
  EXPECT_EQ(gpu.gtt_total_bytes, uint64_t{120} << 30);
  EXPECT_EQ(gpu.dpm_level, "auto");
  EXPECT_TRUE(gpu.is_strix_halo());
  const std::map<std::string, uint64_t> firmware = {{"mes", 0x80}, {"mes_kiq", 0x6f}};
  EXPECT_EQ(gpu.firmware, firmware);
}

TEST(ARecordedMachine, TellsTheMemoryOfItsGpuByItself) {
  for (const char* name :
       {"strix_halo_128", "strix_halo_64_small_gtt"}) {  // the second one does not state everything
    const RecordedMachine tree(recorded(name));
    const Machine machine = read_machine(tree.root());
    const auto memory = read_gpu_memory(tree.root());
    ASSERT_TRUE(memory);
    EXPECT_EQ(memory->gtt_total_bytes, machine.gpu()->gtt_total_bytes.value_or(0));
    EXPECT_EQ(memory->gtt_used_bytes, machine.gpu()->gtt_used_bytes.value_or(0));
    EXPECT_EQ(memory->vram_total_bytes, machine.gpu()->vram_total_bytes.value_or(0));
    EXPECT_EQ(memory->vram_used_bytes, machine.gpu()->vram_used_bytes.value_or(0));
    EXPECT_EQ(memory->ttm_pages_limit, machine.gpu_memory_limits.ttm_pages_limit.value_or(0));
    EXPECT_GT(memory->gtt_total_bytes, 0U);
  }
  EXPECT_FALSE(read_gpu_memory(RecordedMachine(recorded("cpu_host")).root()));
}

TEST(ARecordedMachine, TakesTheStrixHaloForItsGpuAndNotTheCardThatComesFirst) {
  const RecordedMachine tree(recorded("strix_halo_128"));
  for (const auto& [file, text] : {std::pair("vendor", "0x1002\n"), std::pair("device", "0x744c\n"),
                                   std::pair("mem_info_gtt_total", "1\n")})
    tree.write(std::string("sys/class/drm/card0/device/") + file, text);
  EXPECT_EQ(read_machine(tree.root()).gpu()->card, "card1");
  EXPECT_EQ(read_gpu_memory(tree.root())->gtt_total_bytes, uint64_t{120} << 30);
}

TEST(ARecordedMachine, TakesFirmwareVersionsFromDebugfsOnOlderKernels) {
  const RecordedMachine tree(recorded("strix_halo_bad_kernel"));
  const Machine machine = read_machine(tree.root());
  EXPECT_EQ(machine.gpu()->firmware.at("mes"), 0x83U);
  EXPECT_EQ(machine.iommu.mode, IommuMode::kOff);
  EXPECT_TRUE(machine.kernel.is_ostree);
  EXPECT_EQ(machine.firmware_package->release(), "20251125");
}

TEST(ARecordedMachine, SaysWhoMayOpenItsDevices) {
  const RecordedMachine tree(recorded("strix_halo_128"));
  const Machine machine = read_machine(tree.root());
  ASSERT_EQ(machine.device_nodes.size(), 2U);
  const DeviceNode& kfd = machine.device_nodes.front();
  EXPECT_EQ(kfd.path, "/dev/kfd");
  EXPECT_EQ(kfd.group, "render");
  EXPECT_EQ(kfd.mode, 0660U);
  const auto halod = machine.accounts.find_user("halod");
  ASSERT_TRUE(halod);
  EXPECT_TRUE(may_open(kfd, *halod));
  EXPECT_FALSE(may_open(kfd, {"somebody", 4711, {4711}}));
  EXPECT_TRUE(may_open(kfd, {"root", 0, {0}}));
  // The owner's bits are the owner's, even when the group has more.
  EXPECT_FALSE(may_open({.path = "", .uid = 5, .gid = 6, .mode = 0460}, {"five", 5, {6}}));
}

TEST(ARecordedMachine, IgnoresPackagesThatWereRemoved) {
  const RecordedMachine tree(recorded("strix_halo_64_small_gtt"));
  const Machine machine = read_machine(tree.root());
  EXPECT_EQ(machine.firmware_package->name, "firmware-amd-graphics");
  EXPECT_EQ(machine.firmware_package->version, "20260110-1");
  EXPECT_EQ(machine.gpu_memory_limits.amdgpu_gttsize_mib, -1);
  EXPECT_EQ(machine.iommu.mode, IommuMode::kTranslated);
}

TEST(ARecordedMachine, WithoutAnAmdGpuHasNone) {
  const RecordedMachine tree(recorded("cpu_host"));
  const Machine machine = read_machine(tree.root());
  EXPECT_EQ(machine.gpu(), nullptr);
  EXPECT_TRUE(machine.device_nodes.empty());
  EXPECT_EQ(machine.rocm, std::nullopt);
  EXPECT_EQ(machine.firmware_package, std::nullopt);
}

TEST(ARecordedMachine, OfAnEmptyTreeIsEmptyAndSaysSo) {
  const TemporaryFolder folder;
  const Machine machine = read_machine(folder.path());
  EXPECT_EQ(machine.kernel.version(), std::nullopt);
  EXPECT_EQ(machine.iommu.mode, IommuMode::kUnknown);
  EXPECT_FALSE(machine.memory);
}

TEST(TheRunningMachine, IsReadWithoutFailing) {
  const Machine machine = read_machine();
  EXPECT_TRUE(machine.is_live());
  EXPECT_TRUE(machine.kernel.version());
  EXPECT_TRUE(machine.memory);
  EXPECT_TRUE(read_disk("/", "/tmp"));
  EXPECT_FALSE(read_disk("/", "/there/is/no/such/folder"));
}

TEST(AKernelVersion, IsReadFromAnyRelease) {
  EXPECT_EQ(parse_kernel_version("6.18.4-200.fc43.x86_64"), (KernelVersion{6, 18, 4}));
  EXPECT_EQ(parse_kernel_version("6.19-rc1"), (KernelVersion{6, 19, 0}));
  EXPECT_EQ(parse_kernel_version("7.0.0"), (KernelVersion{7, 0, 0}));
  EXPECT_EQ(parse_kernel_version("6"), std::nullopt);
  EXPECT_EQ(parse_kernel_version("next"), std::nullopt);
  EXPECT_LT((KernelVersion{6, 18, 3}), (KernelVersion{6, 18, 4}));
  EXPECT_LT((KernelVersion{6, 18, 99}), (KernelVersion{6, 19, 0}));
}

constexpr uint64_t kGiB = uint64_t{1} << 30;

TEST(GttArguments, LeaveEightGibibytesToTheSystem) {
  EXPECT_EQ(recommended_gtt(128 * kGiB, kGiB / 2).to_string(),
            "ttm.pages_limit=31457280 amdgpu.gttsize=122880");
  EXPECT_EQ(recommended_gtt(64 * kGiB, kGiB / 2).to_string(),
            "ttm.pages_limit=14680064 amdgpu.gttsize=57344");
  EXPECT_EQ(recommended_gtt(128 * kGiB, 96 * kGiB).gib, 24U);
  EXPECT_EQ(recommended_gtt(4 * kGiB, 0).gib, 1U);
  EXPECT_EQ(installed_memory_bytes(125 * kGiB, kGiB / 2), 128 * kGiB);
  EXPECT_EQ(installed_memory_bytes(31 * kGiB, 96 * kGiB), 128 * kGiB);
}

TEST(GttArguments, AreTheRemedyWhereTheGpuMayMapLess) {
  EXPECT_EQ(how_to_map_more(31 * kGiB / 2, kGiB / 2, 125 * kGiB),
            "let the GPU map 120 GiB instead of 15.5 GiB with the kernel arguments "
            "ttm.pages_limit=31457280 amdgpu.gttsize=122880");
  EXPECT_EQ(how_to_map_more(120 * kGiB, kGiB / 2, 125 * kGiB), "");
}

TEST(GfxTargets, AreNamedAsCompilersNameThem) {
  EXPECT_EQ(gfx_target_name(110501), "gfx1151");
  EXPECT_EQ(gfx_target_name(110000), "gfx1100");
  EXPECT_EQ(gfx_target_name(90010), "gfx90a");
  EXPECT_EQ(gfx_target_name(0), "");
}

TEST(ATextFile, GivesNumbersInBothBases) {
  EXPECT_EQ(parse_number(" 0x1586\n"), 0x1586U);
  EXPECT_EQ(parse_number("42 pages"), 42U);
  EXPECT_EQ(parse_number("max"), std::nullopt);
  EXPECT_EQ(parse_number("99999999999999999999999"), std::nullopt);
}

}  // namespace
}  // namespace halod

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <map>

#include "cli/doctor/checks.h"
#include "cli/doctor/disk_speed.h"
#include "cli/doctor/kernel_arguments.h"
#include "cli/doctor/report.h"
#include "cli/http_control.h"
#include "tests/support/recorded_machine.h"

namespace halod::cli {
namespace {

using test::RecordedMachine;
using testing::HasSubstr;

Reply<std::unique_ptr<ControlClient>> client_of_nobody() {
  return std::unique_ptr<ControlClient>(
      std::make_unique<HttpControl>(ApiClient({.url = "http://127.0.0.1:1", .api_key = ""})));
}

/// A recorded machine, and what the doctor says about it.
class Patient {
 public:
  explicit Patient(const std::string& name)
      : tree_(std::filesystem::path(HALOD_SOURCE_DIR) / "tests/cli/doctor/machines" / (name + ".txt")) {
    examine();
  }
  /// With one file of the tree replaced.
  void change(const std::string& path, const std::string& content) {
    tree_.write(path, content);
    examine();
  }
  void lose(const std::string& path) {
    tree_.remove(path);
    examine();
  }
  const Finding& operator[](const std::string& name) const { return findings_.at(name); }
  const std::vector<CheckResult>& results() const { return results_; }
  const Machine& machine() const { return machine_; }

 private:
  void examine() {
    machine_ = read_machine(tree_.root());
    const Reply<std::unique_ptr<ControlClient>> nobody = client_of_nobody();
    const Subject subject{.machine = machine_,
                          .server = nobody,
                          .caller = current_identity(),
                          .bench_program = "/bin/false",
                          .models_folder = ""};
    results_ = run_checks(subject, [](const Check&) {});
    findings_.clear();
    for (const CheckResult& result : results_) findings_[std::string(result.check->name)] = result.finding;
  }

  RecordedMachine tree_;
  Machine machine_;
  std::vector<CheckResult> results_;
  std::map<std::string, Finding> findings_;
};

MATCHER_P(Is, verdict, "") {
  *result_listener << to_string(arg.verdict) << ": " << arg.evidence << " -> " << arg.remedy;
  return arg.verdict == verdict;
}

TEST(TheDoctor, FindsAWellSetUpMachineWell) {
  const Patient patient("strix_halo_128");
  for (const CheckResult& result : patient.results()) {
    const Verdict expected = result.check->needs == Needs::kLiveMachine || result.check->name == "firmware"
                                 ? Verdict::kSkipped
                                 : Verdict::kOk;
    EXPECT_THAT(result.finding, Is(expected)) << result.check->name;
    EXPECT_EQ(result.finding.remedy, "");
  }
  EXPECT_EQ(patient["gpu"].evidence, "gfx1151 (1002:1586) as card1");
  EXPECT_EQ(patient["kernel"].evidence, "6.18.6-200.fc43.x86_64, Fedora Linux 43 (Server Edition)");
  EXPECT_EQ(patient["mes"].evidence, "version 0x80, KIQ 0x6f");
  EXPECT_EQ(patient["iommu"].evidence, "pass-through (kernel argument iommu=pt)");
  EXPECT_EQ(patient["gtt"].evidence, "120 GiB of 128 GiB installed");
  EXPECT_EQ(patient["ttm"].evidence, "120 GiB (31457280 pages) of 128 GiB installed");
  EXPECT_EQ(patient["device_nodes"].evidence, "/dev/kfd render 0660, /dev/dri/renderD128 render 0660");
  EXPECT_EQ(patient["memory"].evidence, "116 GiB of 125.2 GiB available");
  EXPECT_FALSE(any_failed(patient.results()));
  EXPECT_EQ(final_sentence(patient.results()),
            "All is well: halod can use this machine as it is (5 of 19 checks skipped).");
}

TEST(TheDoctor, NamesTheKernelArgumentsThatLiftASmallGtt) {
  const Patient patient("strix_halo_64_small_gtt");
  EXPECT_THAT(patient["gtt"], Is(Verdict::kFail));
  EXPECT_EQ(patient["gtt"].evidence, "15.5 GiB of 64 GiB installed");
  EXPECT_EQ(
      patient["gtt"].remedy,
      "to let the GPU use 56 GiB: add ttm.pages_limit=14680064 amdgpu.gttsize=57344 to GRUB_CMDLINE_LINUX in "
      "/etc/default/grub, run sudo update-grub, then reboot");
  EXPECT_THAT(patient["ttm"], Is(Verdict::kFail));
  EXPECT_EQ(patient["ttm"].evidence, "15.5 GiB (4063232 pages) of 64 GiB installed");
  EXPECT_THAT(patient["ttm"].remedy, HasSubstr("ttm.pages_limit=14680064 amdgpu.gttsize=57344"));
  EXPECT_THAT(patient["kernel"], Is(Verdict::kOk));
  EXPECT_THAT(patient["firmware"], Is(Verdict::kOk));
  EXPECT_EQ(patient["firmware"].evidence, "firmware-amd-graphics 20260110-1");
  EXPECT_TRUE(any_failed(patient.results()));
}

TEST(TheDoctor, FindsWhatHoldsAMachineBack) {
  const Patient patient("strix_halo_64_small_gtt");
  EXPECT_THAT(patient["iommu"], Is(Verdict::kWarn));
  EXPECT_EQ(patient["iommu"].evidence, "translated (/sys/kernel/iommu_groups/*/type is DMA-FQ)");
  EXPECT_THAT(patient["iommu"].remedy, HasSubstr("add iommu=pt to GRUB_CMDLINE_LINUX"));
  EXPECT_THAT(patient["dpm_level"], Is(Verdict::kFail));
  EXPECT_EQ(patient["dpm_level"].remedy,
            "echo auto | sudo tee /sys/class/drm/card0/device/power_dpm_force_performance_level");
  EXPECT_THAT(patient["power_profile"], Is(Verdict::kWarn));
  EXPECT_THAT(patient["power_profile"].remedy, HasSubstr("powerprofilesctl set performance"));
  EXPECT_THAT(patient["cpu_governor"], Is(Verdict::kWarn));
  EXPECT_THAT(patient["rocm"], Is(Verdict::kWarn));
}

TEST(TheDoctor, FindsWhoMayNotOpenTheGpu) {
  const Patient patient("strix_halo_64_small_gtt");
  EXPECT_THAT(patient["groups"], Is(Verdict::kWarn));
  EXPECT_EQ(patient["groups"].evidence, "user halod is not in render and video");
  EXPECT_EQ(patient["groups"].remedy, "sudo usermod -aG render,video halod, then restart halod");
  EXPECT_THAT(patient["device_nodes"], Is(Verdict::kFail));
  EXPECT_EQ(patient["device_nodes"].evidence, "the service may not open it: /dev/kfd render 0600");
  EXPECT_THAT(
      patient["device_nodes"].remedy,
      HasSubstr("sudo chgrp render /dev/kfd && sudo chmod 660 /dev/kfd, and a udev rule so that it stays: "
                "KERNEL==\"kfd\", GROUP=\"render\", MODE=\"0660\""));
}

TEST(TheDoctor, RefusesKernelsAndFirmwareThatHangTheGpu) {
  const Patient patient("strix_halo_bad_kernel");
  EXPECT_THAT(patient["kernel"], Is(Verdict::kFail));
  EXPECT_EQ(patient["kernel"].evidence, "6.16.3-200.fc42.x86_64, Fedora Linux 42 (Silverblue)");
  EXPECT_THAT(patient["kernel"].remedy, HasSubstr("install kernel 6.18.4 or later"));
  EXPECT_THAT(patient["firmware"], Is(Verdict::kFail));
  EXPECT_EQ(patient["firmware"].evidence, "linux-firmware-amdgpu 20251125-2");
  EXPECT_THAT(patient["firmware"].remedy, HasSubstr("install linux-firmware 20260110 or later"));
  EXPECT_THAT(patient["mes"], Is(Verdict::kFail));
  EXPECT_EQ(patient["mes"].evidence, "version 0x83, KIQ 0x6f");
}

TEST(TheDoctor, SeesWhatTheFirmwareSetAsideAndNoDeviceAndNoMemory) {
  const Patient patient("strix_halo_bad_kernel");
  EXPECT_THAT(patient["carve_out"], Is(Verdict::kWarn));
  EXPECT_EQ(patient["carve_out"].evidence, "96 GiB by the firmware");
  EXPECT_THAT(patient["groups"], Is(Verdict::kFail));
  EXPECT_EQ(patient["groups"].remedy, "the service unit names it: sudo groupadd --system render");
  EXPECT_THAT(patient["device_nodes"], Is(Verdict::kFail));
  EXPECT_EQ(patient["device_nodes"].evidence, "/dev/kfd does not exist");
  EXPECT_THAT(patient["memory"], Is(Verdict::kFail));
  EXPECT_THAT(patient["ttm"], Is(Verdict::kFail));
  // What is set aside cannot be mapped too: 128 - 96 - 8. An image's old value goes with the new one's
  // coming.
  EXPECT_EQ(patient["ttm"].remedy,
            "to let the GPU use 24 GiB: sudo rpm-ostree kargs --delete=ttm.pages_limit "
            "--append=ttm.pages_limit=6291456 --append=amdgpu.gttsize=24576, then reboot");
}

TEST(TheDoctor, SkipsTheGpusChecksWhereThereIsNone) {
  const Patient patient("cpu_host");
  for (const CheckResult& result : patient.results()) {
    if (result.check->needs != Needs::kGpu) continue;
    EXPECT_THAT(result.finding, Is(Verdict::kSkipped)) << result.check->name;
  }
  EXPECT_THAT(patient["memory"], Is(Verdict::kOk));
  EXPECT_FALSE(any_failed(patient.results()));
}

TEST(TheDoctor, SaysLoudlyThatARecordedMachineIsNotMeasured) {
  const Patient patient("strix_halo_128");
  for (const char* name : {"bandwidth", "self_test", "disk", "service"}) {
    EXPECT_THAT(patient[name], Is(Verdict::kSkipped));
    EXPECT_THAT(patient[name].evidence, HasSubstr("NOT MEASURED"));
  }
}

TEST(TheDoctor, WarnsWhereTheGpuMayTakeTheSystemsOwnShare) {
  Patient patient("strix_halo_128");
  patient.change("sys/class/drm/card1/device/mem_info_gtt_total", "133143986176\n");  // 124 GiB
  EXPECT_THAT(patient["gtt"], Is(Verdict::kWarn));
  EXPECT_EQ(patient["gtt"].evidence, "124 GiB of 128 GiB installed; that leaves 1.2 GiB to the system");
  EXPECT_EQ(patient["gtt"].remedy,
            "to let the GPU use 120 GiB: sudo grubby --update-kernel=ALL --args=\"ttm.pages_limit=31457280 "
            "amdgpu.gttsize=122880\", then reboot");
}

TEST(TheDoctor, WarnsOfTheKernelsOwnDefaultOfHalf) {
  Patient patient("strix_halo_128");
  patient.change("sys/module/ttm/parameters/pages_limit", "16410112\n");  // 62.6 GiB
  EXPECT_THAT(patient["ttm"], Is(Verdict::kWarn));
  EXPECT_THAT(patient["gtt"], Is(Verdict::kOk));
}

TEST(TheDoctor, WarnsOfTheBadMesFirmwareEvenWithAKernelThatCopes) {
  Patient patient("strix_halo_128");
  patient.change("sys/class/drm/card1/device/fw_version/mes_fw_version", "0x00000083\n");
  EXPECT_THAT(patient["mes"], Is(Verdict::kWarn));
}

TEST(TheDoctor, SkipsWhatAKernelDoesNotState) {
  Patient patient("strix_halo_128");
  patient.lose("sys/class/drm/card1/device/mem_info_gtt_total");
  patient.lose("sys/class/drm/card1/device/fw_version");
  patient.lose("sys/module/ttm");
  for (const char* name : {"gtt", "mes", "ttm"}) EXPECT_THAT(patient[name], Is(Verdict::kSkipped));
}

TEST(TheDoctor, MissesAGpuThatComputeDoesNotSee) {
  Patient patient("strix_halo_128");
  patient.lose("sys/class/kfd");
  EXPECT_THAT(patient["gpu"], Is(Verdict::kFail));
  EXPECT_EQ(patient["gpu"].evidence, "unknown target (1002:1586) as card1");
}

TEST(TheDoctorsReport, GivesEveryCheckInJson) {
  const Patient patient("strix_halo_64_small_gtt");
  const auto report = report_json(patient.machine(), patient.results());
  EXPECT_EQ(report.at("passed"), false);
  EXPECT_EQ(report.at("checks").as_array().size(), all_checks().size());
  const auto& gtt = report.at("checks").at(5);
  EXPECT_EQ(gtt.at("name"), "gtt");
  EXPECT_EQ(gtt.at("verdict"), "fail");
  EXPECT_EQ(report.at("checks").at(1).at("remedy"), nullptr);
  int64_t n_checks = 0;
  for (const auto& [verdict, count] : report.at("counts").as_object()) n_checks += count.as_int64();
  EXPECT_EQ(n_checks, static_cast<int64_t>(all_checks().size()));
}

TEST(TheDoctorsReport, WritesVerdictsAsWordsWithAndWithoutColours) {
  const Patient patient("strix_halo_64_small_gtt");
  const CheckResult& gtt = patient.results()[5];
  EXPECT_THAT(result_line(gtt, Paint(false)),
              testing::StartsWith("  fail     GPU memory (GTT)  15.5 GiB of 64 GiB installed\n"));
  EXPECT_THAT(result_line(gtt, Paint(false)), HasSubstr("→ to let the GPU use 56 GiB"));
  EXPECT_THAT(result_line(gtt, Paint(true)), HasSubstr("\033[31mfail   \033[0m"));
  EXPECT_THAT(final_sentence(patient.results()), HasSubstr("4 of 19 checks failed, with 5 warnings"));
}

/// A live machine whose halo-bench is a script.
class TheDoctorsMeasurements : public testing::Test {
 protected:
  void bench_prints(const std::string& text, int status = 0) {
    const auto path = folder_.write_file(
        "halo-bench", "#!/bin/sh\necho '" + text + "'\nexit " + std::to_string(status) + "\n");
    ::chmod(path.c_str(), 0755);
  }
  Finding run(Finding (*check)(const Subject&)) {
    return check({.machine = machine_,
                  .server = nobody_,
                  .caller = current_identity(),
                  .bench_program = folder_.path() / "halo-bench",
                  .models_folder = folder_.path()});
  }
  void make_strix_halo() {
    machine_.gpus.push_back({.card = "card1", .pci_device = 0x1586, .gfx_target = "gfx1151"});
  }

  TemporaryFolder folder_;
  Machine machine_{.root = "/"};
  Reply<std::unique_ptr<ControlClient>> nobody_ = client_of_nobody();
};

TEST_F(TheDoctorsMeasurements, CompareTheBandwidthWithWhatAStrixHaloReaches) {
  bench_prints(R"({"read_gb_per_s": 42.0, "threads": 16})");
  EXPECT_THAT(run(check_bandwidth), Is(Verdict::kOk));  // some other machine
  make_strix_halo();
  const Finding slow = run(check_bandwidth);
  EXPECT_THAT(slow, Is(Verdict::kWarn));
  EXPECT_EQ(slow.evidence, "the CPU reads 42.0 GB/s with 16 threads");
  bench_prints(R"({"read_gb_per_s": 117.0, "threads": 16})");
  EXPECT_THAT(run(check_bandwidth), Is(Verdict::kOk));
}

TEST_F(TheDoctorsMeasurements, NameTheKernelsThatComputeWrongResults) {
  bench_prints(
      R"({"run": 69, "failed": 1, "variants": [{"operation": "matmul", "variant": "avx2_tiles16", "format":
    "Q4_K", "result": "failed"}, {"operation": "rope", "variant": "avx2", "format": "", "result": "ok"}]})",
      1);
  const Finding finding = run(check_self_test);
  EXPECT_THAT(finding, Is(Verdict::kFail));
  EXPECT_EQ(finding.evidence, "1 of 69 kernel variants compute wrong results: matmul avx2_tiles16 Q4_K");
  bench_prints(R"({"run": 69, "failed": 0, "variants": []})");
  EXPECT_THAT(run(check_self_test), Is(Verdict::kOk));
}

TEST_F(TheDoctorsMeasurements, AreSkippedWithoutAWorkingHaloBench) {
  EXPECT_THAT(run(check_bandwidth), Is(Verdict::kSkipped));
  bench_prints("Illegal instruction", 132);
  EXPECT_THAT(run(check_self_test), Is(Verdict::kSkipped));
}

TEST_F(TheDoctorsMeasurements, ReadTheLargestModelFileOfAFolder) {
  EXPECT_THAT(run(check_disk), Is(Verdict::kSkipped));
  folder_.write_file("small.gguf", "x");
  std::filesystem::create_directory(folder_.path() / "deeper");
  folder_.write_file("deeper/large.gguf", std::string(100'000, 'x'));
  folder_.write_file("larger.bin", std::string(200'000, 'x'));
  const auto largest = largest_model_file(folder_.path());
  ASSERT_TRUE(largest);
  EXPECT_EQ(largest->filename(), "large.gguf");
  const auto speed = measure_disk_speed(*largest, 1 << 20);
  if (!speed && speed.error().code == ErrorCode::kUnsupported)
    GTEST_SKIP() << "no direct reads in the temporary folder";
  ASSERT_TRUE(speed) << speed.error().message;
  EXPECT_EQ(speed->bytes, 100'000U);
  EXPECT_THAT(run(check_disk), Is(Verdict::kOk));
}

TEST_F(TheDoctorsMeasurements, WarnWhereNoServiceAnswers) {
  const Finding finding = run(check_service);
  EXPECT_THAT(finding, Is(Verdict::kWarn));
  EXPECT_EQ(finding.remedy, "sudo systemctl enable --now halod");
}

TEST_F(TheDoctorsMeasurements, WarnWhereThereIsNoWayToTheService) {
  nobody_ = Failure{kUnreachable, "halod is not on the bus"};
  EXPECT_EQ(run(check_service).evidence, "halod is not on the bus");
  EXPECT_THAT(run(check_service), Is(Verdict::kWarn));
}

TEST(KernelArguments, AreSetByWhatTheDistributionHas) {
  EXPECT_EQ(how_to_set_kernel_arguments({.distribution_id = "fedora"}, "a=1 b"),
            "sudo grubby --update-kernel=ALL --args=\"a=1 b\", then reboot");
  EXPECT_EQ(how_to_set_kernel_arguments({.distribution_id = "arch"}, "a=1"),
            "add a=1 to the kernel's command line, then reboot");
}

}  // namespace
}  // namespace halod::cli

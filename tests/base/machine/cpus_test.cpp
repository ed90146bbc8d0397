#include "base/machine/cpus.h"

#include <gtest/gtest.h>

#include "base/machine/control_group.h"
#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

namespace fs = std::filesystem;

/// Strix Halo's numbering: 16 cores, the second hardware threads of which are 16 to 31.
class ASixteenCoreMachine : public testing::Test {
 protected:
  ASixteenCoreMachine() {
    allow("0-31");
    for (int cpu = 0; cpu < 32; ++cpu) {
      const int core = cpu % 16;
      write("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list",
            std::to_string(core) + "," + std::to_string(core + 16) + "\n");
    }
  }
  void allow(const std::string& list) {
    write("proc/self/status", "Name:\thalo-engine\nCpus_allowed:\tffff\nCpus_allowed_list:\t" + list + "\n");
  }
  void write(const std::string& name, std::string_view content) {
    fs::create_directories((folder_.path() / name).parent_path());
    folder_.write_file(name, content);
  }
  AllowedCpus read() { return read_allowed_cpus(folder_.path()); }

  TemporaryFolder folder_;
};

TEST_F(ASixteenCoreMachine, ComputesOnEachCoreOnce) {
  EXPECT_EQ(read().cores.size(), 16U);
  EXPECT_EQ(read().cores[3], (CoreThreads{3, 19}));
  EXPECT_FALSE(read().quota);
  EXPECT_EQ(read().n_threads(), 16);
}

TEST_F(ASixteenCoreMachine, ComputesOnlyWhereItMay) {
  allow("4-7,17,20-22");
  EXPECT_EQ(read().cores, (std::vector<CoreThreads>{{17}, {4, 20}, {5, 21}, {6, 22}, {7}}));
  EXPECT_EQ(read().n_threads(), 5);
}

TEST_F(ASixteenCoreMachine, TakesNoMoreThanTheTightestQuota) {
  write("proc/self/cgroup", "0::/system.slice/halod.service\n");
  write("sys/fs/cgroup/system.slice/halod.service/cpu.max", "max 100000\n");
  EXPECT_EQ(read().n_threads(), 16);
  write("sys/fs/cgroup/system.slice/cpu.max", "650000 100000\n");
  EXPECT_EQ(read().quota, 6.5);
  EXPECT_EQ(read().n_threads(), 6) << "a seventh would be stopped half of the time, and all wait for it";
  write("sys/fs/cgroup/system.slice/halod.service/cpu.max", "50000 100000\n");
  EXPECT_EQ(read().n_threads(), 1);
  write("sys/fs/cgroup/system.slice/halod.service/cpu.max", "50000 0\n");
  EXPECT_EQ(read().n_threads(), 6) << "no such period";
}

TEST_F(ASixteenCoreMachine, SeesItsOwnGroupOnlyInAContainer) {
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/cpu.max", "400000 100000\n");
  EXPECT_EQ(control_group_folders(folder_.path()), (std::vector{folder_.path() / "sys/fs/cgroup"}));
  EXPECT_EQ(read().n_threads(), 4);
}

TEST_F(ASixteenCoreMachine, IsStillUsedWhenTheKernelStatesNonsense) {
  for (const char* list : {"", "x", "3-", "9-2", "0-99999999999", "-"}) {
    allow(list);
    EXPECT_GE(read().n_threads(), 1) << list;
  }
  allow("0-3,x");
  EXPECT_EQ(read().n_threads(), 4);
}

TEST(AMachineWithoutTopology, HasACoreForEachProcessor) {
  TemporaryFolder folder;
  fs::create_directories(folder.path() / "proc/self");
  folder.write_file("proc/self/status", "Cpus_allowed_list:\t0-1\n");
  EXPECT_EQ(read_allowed_cpus(folder.path()).cores, (std::vector<CoreThreads>{{0}, {1}}));
}

TEST(ThisMachine, HasAProcessor) { EXPECT_FALSE(read_allowed_cpus().cores.empty()); }

}  // namespace
}  // namespace halod

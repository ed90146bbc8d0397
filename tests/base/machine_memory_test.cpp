#include "base/machine/memory.h"

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

/// A machine of 24,000 MiB of which 20,000 are available, and this process in the control group "a/b".
class AMachine : public testing::Test {
 protected:
  AMachine() {
    write("proc/meminfo",
          "MemTotal:       24576000 kB\nMemFree:         1000 kB\nMemAvailable:   20480000 kB\n");
    write("proc/self/cgroup", "0::/a/b\n");
    write("proc/self/status", "Name:\thalo-engine\nRssAnon:\t    2048 kB\nRssFile:\t 9 kB\n");
  }
  void write(const std::string& name, std::string_view content) {
    std::filesystem::create_directories((folder_.path() / name).parent_path());
    folder_.write_file(name, content);
  }
  MachineMemory read() { return read_machine_memory(folder_.path()).value(); }

  TemporaryFolder folder_;
};

TEST_F(AMachine, StatesTheKernelsNumbers) {
  EXPECT_EQ(read().total_bytes, 24000 * kMiB);
  EXPECT_EQ(read().available_bytes, 20000 * kMiB);
  EXPECT_EQ(read_process_anonymous_bytes(folder_.path()), 2 * kMiB);
}

TEST_F(AMachine, HasNoMoreThanAnyGroupAboveLeaves) {
  write("sys/fs/cgroup/a/b/memory.max", "max\n");
  write("sys/fs/cgroup/a/b/memory.current", "4194304\n");
  write("sys/fs/cgroup/a/memory.max", std::to_string(8000 * kMiB) + "\n");
  write("sys/fs/cgroup/a/memory.current", std::to_string(3000 * kMiB) + "\n");
  write("sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file " + std::to_string(600 * kMiB) +
                                           "\nactive_file " + std::to_string(400 * kMiB) + "\n");
  EXPECT_EQ(read().total_bytes, 8000 * kMiB);
  EXPECT_EQ(read().available_bytes, 6000 * kMiB) << "the file cache gives way";
}

TEST_F(AMachine, IsRefusedWhenTheKernelSaysNothing) {
  write("proc/meminfo", "nothing of the kind\n");
  const auto memory = read_machine_memory(folder_.path());
  ASSERT_FALSE(memory);
  EXPECT_EQ(memory.error().code, ErrorCode::kIo);
}

TEST(ThisMachine, StatesItsMemory) {
  EXPECT_GT(read_machine_memory().value().total_bytes, 0U);
  EXPECT_GT(read_process_anonymous_bytes(), 0U);
}

}  // namespace
}  // namespace halod

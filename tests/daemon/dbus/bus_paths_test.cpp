#include "daemon/dbus/bus_paths.h"

#include <gtest/gtest.h>

namespace halod {
namespace {

TEST(ModelPaths, EscapeNamesAsSystemdDoes) {
  ModelPaths paths;
  EXPECT_EQ(paths.add(ModelId{1}, "Qwen3-30B A3B/x"), "/io/halod/Halod1/model/Qwen3_2d30B_20A3B_2fx");
  EXPECT_EQ(paths.add(ModelId{2}, "8b"), "/io/halod/Halod1/model/_38b");
  EXPECT_EQ(paths.add(ModelId{3}, "größe"), "/io/halod/Halod1/model/gr_c3_b6_c3_9fe");
  EXPECT_EQ(paths.of(ModelId{2}), "/io/halod/Halod1/model/_38b");
}

TEST(ModelPaths, GiveANameThatIsTakenAnotherPath) {
  ModelPaths paths;
  EXPECT_EQ(paths.add(ModelId{1}, "demo"), "/io/halod/Halod1/model/demo");
  EXPECT_EQ(paths.add(ModelId{2}, "demo"), "/io/halod/Halod1/model/demo_402");
  EXPECT_EQ(paths.add(ModelId{1}, "demo"), "/io/halod/Halod1/model/demo") << "its own name is not taken";
}

TEST(ModelPaths, AreTheRootForAModelThatIsGone) {
  ModelPaths paths;
  paths.add(ModelId{1}, "demo");
  paths.remove(ModelId{1});
  EXPECT_EQ(paths.of(ModelId{1}), "/");
}

TEST(JobPaths, EndInTheNumber) { EXPECT_EQ(job_path(JobId{12}), "/io/halod/Halod1/job/12"); }

}  // namespace
}  // namespace halod

#include "cli/admin_key.h"

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace halod::cli {
namespace {

TEST(TheAdminKey, ComesFromItsFileForAServerOfThisMachineOnly) {
  const TemporaryFolder folder;
  const auto file = folder.write_file("admin.key", "secret \nremark\n");
  EXPECT_EQ(choose_api_key("", "http://127.0.0.1:8000", file), "secret");
  EXPECT_EQ(choose_api_key("", "http://localhost:8000", file), "secret");
  EXPECT_EQ(choose_api_key("", "http://[::1]:8000", file), "secret");
  EXPECT_EQ(choose_api_key("", "http://strix.example:8000", file), "");
  EXPECT_EQ(choose_api_key("", "http://127.0.0.1.example:8000", file), "");
  EXPECT_EQ(choose_api_key("", "http://192.168.1.2:8000", file), "");
}

TEST(TheAdminKey, GivesWayToOneThatIsGiven) {
  const TemporaryFolder folder;
  const auto file = folder.write_file("admin.key", "secret\n");
  EXPECT_EQ(choose_api_key("mine", "http://127.0.0.1:8000", file), "mine");
  EXPECT_EQ(choose_api_key("", "http://127.0.0.1:8000", folder.path() / "none"), "");
}

}  // namespace
}  // namespace halod::cli

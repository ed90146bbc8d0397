#include "daemon/http/api_keys.h"

#include <gtest/gtest.h>

namespace halod {
namespace {

TEST(ApiKeys, LetEverybodyInWhenThereAreNone) {
  EXPECT_TRUE(is_authorized({}, ""));
  EXPECT_TRUE(is_authorized({}, "Bearer anything"));
}

TEST(ApiKeys, LetInWhoBearsOneOfThem) {
  const std::vector<std::string> keys{"first", "second"};
  EXPECT_TRUE(is_authorized(keys, "Bearer first"));
  EXPECT_TRUE(is_authorized(keys, "bearer second"));
  for (const char* wrong : {"", "Bearer", "Bearer ", "Bearer firs", "Bearer firstx", "Bearer  first",
                            "Basic first", "first", "Bearer firstfirst", "Bearer First"}) {
    EXPECT_FALSE(is_authorized(keys, wrong)) << wrong;
  }
}

}  // namespace
}  // namespace halod

#include "daemon/dbus/changed_properties.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace halod {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Values = std::tuple<int, std::string, double>;

TEST(ChangedProperties, NamesWhatDiffersFromWhatWasNamedLast) {
  ChangedProperties<Values> properties({"A", "B", "C"}, {1, "x", 0.5});
  EXPECT_THAT(properties.update({1, "x", 0.5}), IsEmpty());
  EXPECT_THAT(properties.update({2, "x", 0.75}), ElementsAre("A", "C"));
  EXPECT_THAT(properties.update({2, "y", 0.75}), ElementsAre("B"));
}

}  // namespace
}  // namespace halod

#include "base/dbus/bus_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace halod {
namespace {

TEST(ABusAddress, HasAPathWhereItSaysSo) {
  EXPECT_EQ(socket_path_of("unix:path=/run/dbus/system_bus_socket"), "/run/dbus/system_bus_socket");
  EXPECT_EQ(socket_path_of("unix:guid=12,path=/tmp/b%20us"), "/tmp/b us");
  EXPECT_EQ(socket_path_of("tcp:host=localhost;unix:path=/run/bus"), "/run/bus");
  EXPECT_EQ(socket_path_of("unix:abstract=/tmp/bus"), std::nullopt);
  EXPECT_EQ(socket_path_of(""), std::nullopt);
}

TEST(ABusSocket, ThatIsNotThereIsSaidToBeMissing) {
  const auto checked = check_socket("/nonexistent/bus");
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(checked.error().message, testing::HasSubstr("/nonexistent/bus: No such file"));
}

}  // namespace
}  // namespace halod

#include "daemon/dbus/bus_error.h"

#include <gtest/gtest.h>

#include <regex>
#include <set>

namespace halod {
namespace {

TEST(ABusError, HasANameOfItsOwnForEveryCode) {
  std::set<std::string> names;
  for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code) {
    const std::string name = bus_error_name(static_cast<ErrorCode>(code));
    EXPECT_TRUE(std::regex_match(name, std::regex("io\\.halod\\.Error\\.[A-Z][A-Za-z]+"))) << name;
    EXPECT_TRUE(names.insert(name).second) << name;
  }
}

TEST(ABusError, CarriesTheSentence) {
  const sdbus::Error error = bus_error({ErrorCode::kNotFound, "there is no model 'x'"});
  EXPECT_EQ(error.getName(), "io.halod.Error.NotFound");
  EXPECT_EQ(error.getMessage(), "there is no model 'x'");
}

TEST(AnErrorProperty, IsEmptyWithoutAnError) {
  EXPECT_EQ(std::get<0>(error_property(std::nullopt)), "");
  EXPECT_EQ(std::get<1>(error_property(std::nullopt)), "");
  EXPECT_EQ(std::get<0>(error_property(Error{ErrorCode::kIo, "gone"})), "io.halod.Error.Io");
}

}  // namespace
}  // namespace halod

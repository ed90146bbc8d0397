#include "base/dbus/bus_names.h"

#include <gtest/gtest.h>

#include <regex>
#include <set>

namespace halod {
namespace {

TEST(ABusErrorsName, IsOneOfItsOwnForEveryCodeAndLeadsBackToIt) {
  std::set<std::string> names;
  for (int i = 0; i <= static_cast<int>(ErrorCode::kInternal); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    const std::string name = bus_error_name(code);
    EXPECT_TRUE(std::regex_match(name, std::regex("io\\.halod\\.Error\\.[A-Z][A-Za-z]+"))) << name;
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_EQ(error_code_of_bus(name), code);
  }
}

TEST(ABusErrorsName, IsNoneOfOursWhenSomebodyElseMadeIt) {
  for (const char* name :
       {"", "io.halod.Error.", "io.halod.Error.Tired", "org.freedesktop.DBus.Error.NoReply", "NotFound"})
    EXPECT_EQ(error_code_of_bus(name), std::nullopt) << name;
}

}  // namespace
}  // namespace halod

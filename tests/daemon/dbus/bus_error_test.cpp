#include "daemon/dbus/bus_error.h"

#include <gtest/gtest.h>

namespace halod {
namespace {

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

TEST(AnErrorsBytes, AreThoseOfWhatDidNotFit) {
  EXPECT_EQ(std::get<0>(error_bytes_property(std::nullopt)), 0U);
  const Error error{.code = ErrorCode::kOutOfMemory, .message = "m", .needed_bytes = 3, .available_bytes = 2};
  EXPECT_EQ(std::get<0>(error_bytes_property(error)), 3U);
  EXPECT_EQ(std::get<1>(error_bytes_property(error)), 2U);
}

}  // namespace
}  // namespace halod

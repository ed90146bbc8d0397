#include "daemon/dbus/call_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace halod {
namespace {

using ::testing::HasSubstr;

CallOptions with(const std::string& name, const sdbus::Variant& value) { return {{name, value}}; }

TEST(CallOptions, LeaveThePolicyToTheDefault) {
  EXPECT_EQ(read_policy({}, DrainPolicy::kPause).value(), DrainPolicy::kPause);
}

TEST(CallOptions, SetThePolicy) {
  EXPECT_EQ(read_policy(with("policy", sdbus::Variant(std::string("pause"))), DrainPolicy::kDrain).value(),
            DrainPolicy::kPause);
}

TEST(CallOptions, RefuseAPolicyThatIsNone) {
  const auto word = read_policy(with("policy", sdbus::Variant(std::string("hurry"))), DrainPolicy::kDrain);
  ASSERT_FALSE(word);
  EXPECT_THAT(word.error().message, HasSubstr("'hurry'; it takes drain or pause"));
  const auto number = read_policy(with("policy", sdbus::Variant(uint32_t{1})), DrainPolicy::kDrain);
  ASSERT_FALSE(number);
  EXPECT_EQ(number.error().code, ErrorCode::kInvalidArgument);
}

TEST(CallOptions, RefuseUnknownOnesByName) {
  const CallOptions options = with("colour", sdbus::Variant(std::string("red")));
  EXPECT_THAT(read_policy(options, DrainPolicy::kDrain).error().message,
              HasSubstr("'colour'; known here: policy"));
  EXPECT_THAT(refuse_options(options).error().message, HasSubstr("'colour'; known here: none"));
  EXPECT_TRUE(refuse_options({}));
}

}  // namespace
}  // namespace halod

#include "daemon/http/json_body.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace halod {
namespace {

using ::testing::HasSubstr;

std::string message_of(std::string_view body) {
  const auto parsed = parse_json_body(body);
  return parsed ? "no error" : parsed.error().message;
}

TEST(AJsonBody, IsReadWithWhiteSpaceAroundIt) {
  EXPECT_TRUE(parse_json_body(" \n{\"a\": {\"a\": [1, {\"a\": 2}]}}\r\n\t "));
}

TEST(AJsonBody, IsRefusedWithTheReason) {
  EXPECT_THAT(message_of(""), HasSubstr("not valid JSON"));
  EXPECT_THAT(message_of("{\"a\": 1"), HasSubstr("not valid JSON"));
  EXPECT_THAT(message_of("{\"a\": nan}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(message_of("{\"a\": 1,}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(message_of("{\"a\": 1} x"), HasSubstr("after"));
  EXPECT_THAT(message_of("[1]"), HasSubstr("must be a JSON object"));
  EXPECT_THAT(message_of("\"text\""), HasSubstr("must be a JSON object"));
  EXPECT_THAT(message_of("{\"a\": \"\xFF\xFE\"}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(message_of("{\"a\": \"\xC3(\"}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(message_of(std::string("{\"a\": \"\0\"}", 10)), HasSubstr("not valid JSON"));
}

TEST(AJsonBody, MayNotNestWithoutEnd) {
  const auto nested = [](size_t depth) {
    return "{\"a\": " + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  EXPECT_TRUE(parse_json_body(nested(kMaxJsonDepth - 1)));
  EXPECT_THAT(message_of(nested(kMaxJsonDepth + 1)), HasSubstr("not valid JSON"));
  EXPECT_THAT(message_of(nested(1'000'000)), HasSubstr("not valid JSON"));
}

TEST(AJsonBody, NamesAKeyThatIsGivenTwice) {
  const auto parsed = parse_json_body(R"({"a": 1, "b": {"key": 1, "k\u0065y": 2}})");
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().field, "key");
  EXPECT_TRUE(parse_json_body(R"({"a": {"key": 1}, "b": {"key": 2}})"))
      << "the same key in different objects";
}

}  // namespace
}  // namespace halod

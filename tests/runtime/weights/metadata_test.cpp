#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/weights/gguf_file.h"

namespace halod {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Metadata some_metadata() {
  Metadata metadata("model.gguf");
  metadata.insert("an.integer", int64_t{42});
  metadata.insert("a.huge_integer", ~uint64_t{0});
  metadata.insert("a.number", 1.5);
  metadata.insert("a.string", std::string("text"));
  metadata.insert("a.boolean", true);
  metadata.insert("some.strings", MetadataArray(std::vector<std::string>{"a", "b"}));
  return metadata;
}

TEST(AMetadataValue, NamesFileKeyAndBothTypesWhenItHasTheWrongOne) {
  const Metadata metadata = some_metadata();
  const auto number = metadata.integer("a.string");
  ASSERT_FALSE(number);
  EXPECT_EQ(number.error().code, ErrorCode::kCorruptFile);
  EXPECT_EQ(number.error().field, "a.string");
  EXPECT_THAT(number.error().message, AllOf(HasSubstr("model.gguf"), HasSubstr("'a.string'"),
                                            HasSubstr("a string"), HasSubstr("wanted an integer")));
  EXPECT_FALSE(metadata.integer("a.number"));
  EXPECT_FALSE(metadata.integer("a.boolean"));
  EXPECT_FALSE(metadata.boolean("an.integer"));
  EXPECT_FALSE(metadata.real("a.string"));
  EXPECT_FALSE(metadata.string("an.integer"));
  EXPECT_FALSE(metadata.strings("a.string"));
  EXPECT_FALSE(metadata.reals("some.strings"));
  EXPECT_THAT(metadata.integers("some.strings").error().message, HasSubstr("an array of 2 strings"));
}

TEST(AMetadataValue, IsAnErrorWhenMissingUnlessThereIsAFallback) {
  const Metadata metadata = some_metadata();
  EXPECT_EQ(metadata.integer("none").error().field, "none");
  EXPECT_EQ(metadata.strings("none").error().code, ErrorCode::kCorruptFile);
  EXPECT_EQ(metadata.integer_or("none", 7).value(), 7);
  EXPECT_EQ(metadata.real_or("none", 0.5).value(), 0.5);
  EXPECT_EQ(metadata.string_or("none", "x").value(), "x");
  EXPECT_EQ(metadata.boolean_or("none", true).value(), true);
}

TEST(AMetadataValue, IsNotReplacedByTheFallbackWhenItsTypeIsWrong) {
  const Metadata metadata = some_metadata();
  EXPECT_FALSE(metadata.integer_or("a.string", 7));
  EXPECT_FALSE(metadata.real_or("a.string", 7));
  EXPECT_FALSE(metadata.string_or("an.integer", "x"));
  EXPECT_FALSE(metadata.boolean_or("an.integer", true));
}

TEST(AMetadataValue, ConvertsIntegersToNumbersButNotBeyondTheirRange) {
  const Metadata metadata = some_metadata();
  EXPECT_EQ(metadata.real("an.integer").value(), 42.0);
  EXPECT_EQ(metadata.real("a.huge_integer").value(), 18446744073709551616.0);
  EXPECT_THAT(metadata.integer("a.huge_integer").error().message, HasSubstr("18446744073709551615"));
}

}  // namespace
}  // namespace halod

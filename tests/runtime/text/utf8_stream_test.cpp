#include "runtime/text/utf8_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "runtime/text/utf8.h"

namespace halod {
namespace {

std::string stream_in_pieces(std::string_view bytes, const std::vector<size_t>& piece_sizes) {
  Utf8Stream stream;
  std::string out;
  const auto take = [&out](const std::string& text) {
    EXPECT_EQ(valid_utf8_prefix(text), text.size())
        << "not whole code points: " << testing::PrintToString(text);
    out += text;
  };
  for (const size_t size : piece_sizes) {
    take(stream.push(bytes.substr(0, size)));
    bytes.remove_prefix(std::min(size, bytes.size()));
  }
  take(stream.push(bytes));
  take(stream.flush());
  return out;
}

TEST(AUtf8Stream, GivesTheSameTextForEverySplitIntoThree) {
  const std::string text = "aé日🙂b\U0010FFFF ́";
  for (size_t i = 0; i <= text.size(); ++i) {
    for (size_t j = 0; i + j <= text.size(); ++j)
      ASSERT_EQ(stream_in_pieces(text, {i, j}), text) << i << ' ' << j;
  }
}

TEST(AUtf8Stream, HoldsBackOnlyTheUnfinishedCodePoint) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("ab\xF0\x9F"), "ab");
  EXPECT_EQ(stream.push("\x99"), "");
  EXPECT_EQ(stream.push("\x82"
                        "c"),
            "🙂c");
  EXPECT_EQ(stream.flush(), "");
}

TEST(AUtf8Stream, ReplacesInvalidBytesByMaximalSubparts) {
  // Unicode 15, section 3.9, table 3-8.
  EXPECT_EQ(stream_in_pieces("a\xF1\x80\x80\xE1\x80\xC2"
                             "b\x80"
                             "c\x80\xBF"
                             "d",
                             {}),
            "a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd");
  EXPECT_EQ(stream_in_pieces("\xC0\xAF\xE0\x80\xBF\xED\xA0\x80", {}),
            "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD");
}

TEST(AUtf8Stream, FlushesAnUnfinishedTailAsOneReplacementAndStartsAfresh) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("x\xE2\x82"), "x");
  EXPECT_EQ(stream.flush(), "\uFFFD");
  EXPECT_EQ(stream.flush(), "");
  EXPECT_EQ(stream.push("\xAC"), "\uFFFD");
}

TEST(AUtf8Stream, GivesTheSameTextForRandomBytesHoweverTheyAreCut) {
  std::mt19937 random(7);
  // Bytes that meet often in broken sequences.
  const std::string alphabet = "a\x7F\x80\xBF\xC2\xE0\xA0\xED\x9F\xEF\xF0\x90\xF4\x8F\xFF";
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (int i = 0; i < 12; ++i) bytes += alphabet[random() % alphabet.size()];
    const std::string whole = stream_in_pieces(bytes, {});
    std::vector<size_t> pieces;
    for (int i = 0; i < 6; ++i) pieces.push_back(random() % 4);
    ASSERT_EQ(stream_in_pieces(bytes, pieces), whole) << "round " << round;
    if (valid_utf8_prefix(bytes) == bytes.size()) {
      ASSERT_EQ(whole, bytes);
    }
  }
}

TEST(Utf8, AppendsWhatItReads) {
  for (char32_t code_point = 0; code_point <= 0x10FFFF; code_point += 0x35) {
    if (code_point >= 0xD800 && code_point <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, code_point);
    const Utf8Step step = next_utf8(text);
    ASSERT_EQ(step.kind, Utf8Kind::kValid);
    ASSERT_EQ(step.n_bytes, text.size());
    ASSERT_EQ(step.code_point, code_point);
  }
  std::string surrogate;
  append_utf8(surrogate, 0xD800);
  EXPECT_EQ(surrogate, kReplacementUtf8);
}

}  // namespace
}  // namespace halod

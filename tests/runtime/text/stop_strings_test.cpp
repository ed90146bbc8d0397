#include "runtime/text/stop_strings.h"

#include <gtest/gtest.h>

#include <random>

namespace halod {
namespace {

struct Outcome {
  std::string text;
  std::string matched;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome run(const std::vector<std::string>& stops, std::string_view text, size_t piece_size) {
  StopStrings matcher(stops);
  Outcome outcome;
  for (size_t i = 0; i < text.size() && !matcher.stopped(); i += piece_size) {
    outcome.text += matcher.push(text.substr(i, piece_size));
  }
  outcome.text += matcher.flush();
  outcome.matched = matcher.matched();
  return outcome;
}

/// The contract, word for word: the match that is complete first; of those, the one that began first.
Outcome expected(const std::vector<std::string>& stops, const std::string& text) {
  for (size_t end = 1; end <= text.size(); ++end) {
    std::string best;
    for (const std::string& stop : stops) {
      const bool ends_here =
          !stop.empty() && stop.size() <= end && text.compare(end - stop.size(), stop.size(), stop) == 0;
      if (ends_here && stop.size() > best.size()) best = stop;
    }
    if (!best.empty()) return {text.substr(0, end - best.size()), best};
  }
  return {text, ""};
}

TEST(StopStringMatching, CutsAtTheMatchAndSaysWhichOne) {
  EXPECT_EQ(run({"END", "\n\n"}, "one\ntwo\n\nthree END", 100), (Outcome{"one\ntwo", "\n\n"}));
  EXPECT_EQ(run({"abcd", "c"}, "xabcd", 1), (Outcome{"xab", "c"}));
  EXPECT_EQ(run({"bc", "abc"}, "xabcd", 1), (Outcome{"x", "abc"}));
}

TEST(StopStringMatching, HoldsBackPossibleBeginningsAndNothingElse) {
  StopStrings matcher({"</end>"});
  EXPECT_EQ(matcher.push("text</e"), "text");
  EXPECT_EQ(matcher.push("m>"), "</em>");
  EXPECT_EQ(matcher.push("<"), "");
  EXPECT_EQ(matcher.push("<"), "<");
  EXPECT_EQ(matcher.flush(), "<");
}

TEST(StopStringMatching, GivesNothingAfterTheMatch) {
  StopStrings matcher({"stop"});
  EXPECT_EQ(matcher.push("a stop b"), "a ");
  EXPECT_EQ(matcher.push("c"), "");
  EXPECT_EQ(matcher.flush(), "");
}

TEST(StopStringMatching, PassesEverythingOnWithoutStopStrings) {
  EXPECT_EQ(run({}, "anything", 3), (Outcome{"anything", ""}));
  EXPECT_EQ(run({""}, "anything", 3), (Outcome{"anything", ""}));
}

TEST(StopStringMatching, AgreesWithASearchOfTheWholeTextForAllCuts) {
  std::mt19937 random(3);
  const auto draw = [&random](size_t max_length) {
    std::string text;
    const size_t length = random() % (max_length + 1);
    for (size_t i = 0; i < length; ++i) text += static_cast<char>('a' + random() % 2);
    return text;
  };
  for (int round = 0; round < 3000; ++round) {
    const std::vector<std::string> stops = {draw(5), draw(4), draw(6)};
    const std::string text = draw(20);
    for (const size_t piece_size : {1U, 2U, 3U, 7U, 20U}) {
      ASSERT_EQ(run(stops, text, piece_size), expected(stops, text))
          << testing::PrintToString(stops) << " in " << text << " by " << piece_size;
    }
  }
}

}  // namespace
}  // namespace halod

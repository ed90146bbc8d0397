#include "daemon/service/clock_watch.h"

#include <gtest/gtest.h>

namespace halod {
namespace {

using namespace std::chrono_literals;

TEST(ADurationInWords, HasItsTwoLargestParts) {
  EXPECT_EQ(in_words(3s), "3 s");
  EXPECT_EQ(in_words(303s), "5 min 3 s");
  EXPECT_EQ(in_words(3600s), "1 h");
  EXPECT_EQ(in_words(3650 * 24h + 2h + 59min), "3650 d 2 h");
  EXPECT_EQ(in_words(24h + 5min), "1 d");
}

TEST(ADurationInWords, LeavesTheSignToItsSentence) { EXPECT_EQ(in_words(-90s), "1 min 30 s"); }

TEST(ADurationInWords, OfNothingIsZeroSeconds) { EXPECT_EQ(in_words(0s), "0 s"); }

}  // namespace
}  // namespace halod

#include "cli/pull/model_name.h"

#include <gtest/gtest.h>

#include "cli/pull/transfer_rate.h"

namespace halod::cli {
namespace {

TEST(ParsePullName, TakesNamesAndAddresses) {
  for (const char* text : {"Qwen/Qwen3-30B-A3B-GGUF:Q4_K_M", "hf.co/Qwen/Qwen3-30B-A3B-GGUF:Q4_K_M",
                           "https://huggingface.co/Qwen/Qwen3-30B-A3B-GGUF:Q4_K_M"}) {
    const auto name = parse_pull_name(text);
    ASSERT_TRUE(name) << text;
    EXPECT_EQ(*name, (PullName{.repository = "Qwen/Qwen3-30B-A3B-GGUF", .selection = "Q4_K_M"})) << text;
  }
  EXPECT_EQ(*parse_pull_name("a/b"), (PullName{.repository = "a/b", .selection = ""}));
  EXPECT_EQ(*parse_pull_name("a/b/"), (PullName{.repository = "a/b", .selection = ""}));
  EXPECT_EQ(*parse_pull_name("a/b:UD/c.gguf"), (PullName{.repository = "a/b", .selection = "UD/c.gguf"}));
}

TEST(ParsePullName, RefusesWhatIsNoneAndWhatWouldLeaveTheFolder) {
  for (const char* text : {"", "a", "a/", "/b", "a/b/c", "../b", "a/..", "a/.b", "a b/c", "a/b:", "a/b?c",
                           "http://localhost/a/b", "a\\b/c", "a/b\n"}) {
    const auto name = parse_pull_name(text);
    ASSERT_FALSE(name) << text;
    EXPECT_EQ(name.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(TransferRate, AveragesOverSecondsAndShowsAFewTimesEach) {
  using std::chrono::milliseconds;
  TransferRate rate;
  const TransferRate::Clock::time_point start{std::chrono::hours(1)};
  int n_shown = 0;
  for (int i = 0; i <= 1000; ++i)
    n_shown += rate.add(static_cast<uint64_t>(i) * 1000, start + milliseconds(10 * i));
  EXPECT_EQ(n_shown, 101);
  EXPECT_NEAR(rate.bytes_per_second(), 100'000, 1);
  EXPECT_NEAR(rate.seconds_for(1'000'000), 10, 0.001);
  // Four times as fast: it goes there, but not at once.
  rate.add(1'000'000 + 200'000, start + milliseconds(10'500));
  EXPECT_NEAR(rate.bytes_per_second(), 160'000, 1);
}

}  // namespace
}  // namespace halod::cli

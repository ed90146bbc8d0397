// What is asked for ahead changes no result, so that only this shows when a part of it is forgotten or asked
// for twice.
#define HALOD_ISA of_this_test
#include "kernels/cpu/tile_ahead.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

namespace halod::of_this_test {
namespace {

constexpr int64_t kGroups = 64, kStride = 4096;
std::array<std::byte, 4 * kStride> memory;

/// How often each group's bytes are asked for in all passes over a tile, in blocks as for_each_token_block's.
std::vector<int> times_asked(Ahead ahead, int64_t n_tokens, int64_t tokens_per_pass, bool pair) {
  std::vector<int> times(kGroups);
  int64_t first = 0;
  for (int64_t n = tokens_per_pass; first < n_tokens; n = std::max<int64_t>(1, n / 2)) {
    for (; first + n <= n_tokens; first += n) {
      const AheadOf pass =
          AheadOf::pass(memory.data() + kStride, kStride, ahead, n_tokens, tokens_per_pass, first, pair);
      if (pass.at == nullptr) continue;
      for (int64_t group = 0; group < kGroups; ++group)
        times[static_cast<size_t>(group)] += pass.asks_at(group);
    }
  }
  return times;
}

TEST(WhatIsAskedForAhead, IsEachGroupOnceWhateverTheTokens) {
  for (const Ahead ahead : {Ahead::kNear, Ahead::kNextTile, Ahead::kTileAfterNext}) {
    for (const int64_t tokens_per_pass : {2, 4, 8, 16}) {
      for (int64_t n_tokens = 1; n_tokens <= 150; ++n_tokens) {
        for (const bool pair : {false, true}) {
          EXPECT_EQ(times_asked(ahead, n_tokens, tokens_per_pass, pair), std::vector<int>(kGroups, 1))
              << n_tokens << " tokens, " << tokens_per_pass << " in a pass";
        }
      }
    }
  }
}

TEST(WhatIsAskedForAhead, IsNothingWhereThatIsLeftToTheCpu) {
  EXPECT_EQ(times_asked(Ahead::kNothing, 20, 8, true), std::vector<int>(kGroups, 0));
}

TEST(WhatIsAskedForAhead, LiesWhereItSays) {
  const std::byte* tile = memory.data() + kStride;
  EXPECT_EQ(AheadOf::pass(tile, kStride, Ahead::kNear, 1, 8, 0, false).at, tile + kNearBytes);
  EXPECT_EQ(AheadOf::pass(tile, kStride, Ahead::kNextTile, 1, 8, 0, false).at, tile + kStride);
  EXPECT_EQ(AheadOf::pass(tile, kStride, Ahead::kTileAfterNext, 1, 8, 0, false).at, tile + 2 * kStride);
}

}  // namespace
}  // namespace halod::of_this_test

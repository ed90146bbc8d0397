#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "runtime/cache/prefix_index.h"
#include "runtime/cache/sequence_cache.h"

namespace halod {
namespace {

constexpr int64_t kPage = 4;

std::vector<TokenId> tokens_from(int first, int n) {
  std::vector<TokenId> tokens(static_cast<size_t>(n));
  for (int i = 0; i < n; ++i) tokens[static_cast<size_t>(i)] = static_cast<TokenId>(first + i);
  return tokens;
}

std::vector<PageId> copy(std::span<const PageId> pages) { return {pages.begin(), pages.end()}; }

class APrefixIndex : public testing::Test {
 protected:
  /// Computes `tokens` in a sequence of its own, whose pages are then given back; returns the pages it had.
  std::vector<PageId> compute(const std::vector<TokenId>& tokens) {
    SequenceCache sequence(pool, &index, kPage);
    sequence.adopt_prefix(tokens);
    EXPECT_TRUE(sequence.grow_to(static_cast<int64_t>(tokens.size())));
    sequence.index_computed(tokens, static_cast<int64_t>(tokens.size()));
    return copy(sequence.pages());
  }

  KvPagePool pool{8};
  PrefixIndex index{pool, kPage};
};

TEST_F(APrefixIndex, GivesANewSequenceThePagesOfTheCommonPrefix) {
  const std::vector<PageId> first = compute(tokens_from(0, 10));
  auto tokens = tokens_from(0, 10);
  tokens[9] = TokenId{99};
  SequenceCache second(pool, &index, kPage);
  EXPECT_EQ(second.adopt_prefix(tokens), 8);
  EXPECT_EQ(copy(second.pages()), (std::vector<PageId>{first[0], first[1]}));
}

TEST_F(APrefixIndex, StopsAtTheFirstPageThatDiffers) {
  compute(tokens_from(0, 12));
  auto tokens = tokens_from(0, 12);
  tokens[5] = TokenId{99};
  SequenceCache second(pool, &index, kPage);
  EXPECT_EQ(second.adopt_prefix(tokens), 4);
}

TEST_F(APrefixIndex, DoesNotTakeAPageWithTheSameTokensAfterAnotherBeginning) {
  compute(tokens_from(0, 8));
  auto tokens = tokens_from(4, 4);  // the second page's tokens, but as the first
  tokens.push_back(TokenId{1});
  SequenceCache second(pool, &index, kPage);
  EXPECT_EQ(second.adopt_prefix(tokens), 0);
}

TEST_F(APrefixIndex, AlwaysLeavesTheLastTokenToBeComputed) {
  compute(tokens_from(0, 12));
  for (const auto& [n_tokens, n_reused] : {std::pair{12, 8}, {9, 8}, {8, 4}, {5, 4}, {4, 0}, {1, 0}}) {
    SequenceCache sequence(pool, &index, kPage);
    EXPECT_EQ(sequence.adopt_prefix(tokens_from(0, n_tokens)), n_reused) << n_tokens;
  }
}

TEST_F(APrefixIndex, SharesPagesWhileTheFirstSequenceStillRuns) {
  const auto tokens = tokens_from(0, 9);
  SequenceCache first(pool, &index, kPage);
  ASSERT_TRUE(first.grow_to(9));
  first.index_computed(tokens, 5);  // only the first page is full so far
  SequenceCache second(pool, &index, kPage);
  EXPECT_EQ(second.adopt_prefix(tokens), 4);
  EXPECT_EQ(pool.n_references(second.pages()[0]), 2U);
  first.release();
  EXPECT_EQ(pool.n_references(second.pages()[0]), 1U);
}

TEST_F(APrefixIndex, EvictsTheOldestPrefixFromItsEnd) {
  compute(tokens_from(0, 16));
  compute(tokens_from(100, 16));
  EXPECT_EQ(pool.n_kept(), 8);
  compute(tokens_from(200, 8));  // takes two pages: the last two of the first sequence
  SequenceCache old(pool, &index, kPage);
  EXPECT_EQ(old.adopt_prefix(tokens_from(0, 17)), 8);
  SequenceCache newer(pool, &index, kPage);
  EXPECT_EQ(newer.adopt_prefix(tokens_from(100, 17)), 16);
}

TEST_F(APrefixIndex, ForgetsPagesWhoseContentsTurnedOutWrong) {
  const auto tokens = tokens_from(0, 9);
  SequenceCache first(pool, &index, kPage);
  ASSERT_TRUE(first.grow_to(9));
  first.index_computed(tokens, 9);
  SequenceCache sharing(pool, &index, kPage);
  ASSERT_EQ(sharing.adopt_prefix(tokens), 8);
  first.discard();
  EXPECT_EQ(index.size(), 0U);
  SequenceCache later(pool, &index, kPage);
  EXPECT_EQ(later.adopt_prefix(tokens), 0);
  sharing.release();
  EXPECT_EQ(pool.n_kept(), 0);
  EXPECT_EQ(pool.n_used(), 0);
}

TEST_F(APrefixIndex, KeepsOneOfTwoPagesThatHoldTheSame) {
  const auto tokens = tokens_from(0, 5);
  {
    SequenceCache first(pool, &index, kPage);
    SequenceCache second(pool, &index, kPage);
    ASSERT_TRUE(first.grow_to(5) && second.grow_to(5));
    first.index_computed(tokens, 5);
    second.index_computed(tokens, 5);
    EXPECT_EQ(index.size(), 1U);
  }
  EXPECT_EQ(pool.n_kept(), 1);
  EXPECT_EQ(pool.n_available(), 8);
}

TEST(ASequenceCache, AllocatesNothingWhenThePoolCannotGiveItAll) {
  KvPagePool pool(3);
  SequenceCache sequence(pool, nullptr, kPage);
  EXPECT_FALSE(sequence.grow_to(13));
  EXPECT_EQ(pool.n_used(), 0);
  EXPECT_TRUE(sequence.grow_to(12));
  EXPECT_EQ(pool.n_used(), 3);
  EXPECT_TRUE(sequence.grow_to(1));  // never shrinks
  EXPECT_EQ(sequence.n_pages(), 3);
}

TEST(ASequenceCache, ReusesNothingWithoutAnIndex) {
  KvPagePool pool(3);
  SequenceCache sequence(pool, nullptr, kPage);
  EXPECT_EQ(sequence.adopt_prefix(tokens_from(0, 9)), 0);
  ASSERT_TRUE(sequence.grow_to(9));
  sequence.index_computed(tokens_from(0, 9), 9);
  sequence.release();
  EXPECT_EQ(pool.n_kept(), 0);
  EXPECT_EQ(pool.n_available(), 3);
}

}  // namespace
}  // namespace halod

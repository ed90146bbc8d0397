#include "runtime/cache/kv_page_pool.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

namespace halod {
namespace {

TEST(AKvPagePool, HandsOutEveryPageOnceAndThenNothing) {
  KvPagePool pool(257);
  std::set<PageId> pages;
  for (int i = 0; i < 257; ++i) pages.insert(pool.allocate().value());
  EXPECT_EQ(pages.size(), 257U);
  EXPECT_EQ(pool.n_available(), 0);
  EXPECT_EQ(pool.n_used(), 257);
  EXPECT_FALSE(pool.allocate());
  for (const PageId page : pages) pool.release(page);
  EXPECT_EQ(pool.n_available(), 257);
}

TEST(AKvPagePool, FreesASharedPageWithItsLastReference) {
  KvPagePool pool(1);
  const PageId page = pool.allocate().value();
  pool.retain(page);
  pool.release(page);
  EXPECT_EQ(pool.n_used(), 1);
  EXPECT_EQ(pool.n_references(page), 1U);
  pool.release(page);
  EXPECT_EQ(pool.n_used(), 0);
}

TEST(AKvPagePool, PrefersFreePagesToKeptOnesAndEvictsTheOneReleasedLongestAgo) {
  KvPagePool pool(3);
  std::vector<PageId> evicted;
  pool.set_eviction_callback([&](PageId page) { evicted.push_back(page); });
  const PageId a = pool.allocate().value();
  const PageId b = pool.allocate().value();
  pool.keep_when_released(a);
  pool.keep_when_released(b);
  pool.release(b);
  pool.release(a);
  EXPECT_EQ(pool.n_kept(), 2);
  EXPECT_EQ(pool.n_available(), 3);

  const PageId c = pool.allocate().value();
  EXPECT_TRUE(evicted.empty());
  EXPECT_EQ(pool.allocate(), b);
  EXPECT_EQ(evicted, (std::vector<PageId>{b}));
  pool.retain(a);  // still kept, so it can come back to life
  EXPECT_FALSE(pool.allocate());
  for (const PageId page : {a, b, c}) pool.release(page);
}

TEST(AKvPagePoolDeathTest, AbortsWhenAPageIsReleasedTwice) {
  KvPagePool pool(2);
  const PageId page = pool.allocate().value();
  pool.release(page);
  EXPECT_DEATH(pool.release(page), "assertion failed");
}

TEST(AKvPagePoolDeathTest, AbortsWhenDestroyedWithAPageInUse) {
  EXPECT_DEATH(
      {
        KvPagePool pool(2);
        static_cast<void>(pool.allocate());
      },
      "assertion failed");
}

TEST(AKvPagePool, NeverGivesAUsedPageAwayInThousandsOfRandomOperations) {
  std::mt19937 random(7);
  KvPagePool pool(31);
  std::multiset<PageId> held;
  std::set<PageId> kept;
  pool.set_eviction_callback([&](PageId page) { EXPECT_EQ(kept.erase(page), 1U); });
  for (int i = 0; i < 20000; ++i) {
    const unsigned choice = random() % 10;
    if (choice < 4) {
      if (const auto page = pool.allocate()) {
        ASSERT_FALSE(held.contains(*page));
        held.insert(*page);
      }
    } else if (!held.empty()) {
      const auto page = std::next(held.begin(), static_cast<std::ptrdiff_t>(random() % held.size()));
      const PageId id = *page;
      if (choice < 8) {
        held.erase(page);
        pool.release(id);
      } else if (choice == 8) {
        pool.retain(id);
        held.insert(id);
      } else {
        pool.keep_when_released(id);
        kept.insert(id);
      }
    }
    ASSERT_EQ(pool.n_used(), static_cast<int64_t>(std::set<PageId>(held.begin(), held.end()).size()));
  }
  for (const PageId page : held) pool.release(page);
  EXPECT_EQ(pool.n_available(), 31);
}

}  // namespace
}  // namespace halod

#include "runtime/cache/state_slots.h"

#include <gtest/gtest.h>

#include <utility>

namespace halod {
namespace {

TEST(AStateSlotPool, GivesEverySlotToOneHolderAndTakesItBack) {
  StateSlotPool pool(2);
  StateSlotPool::Lease first = pool.take(), second = pool.take();
  EXPECT_NE(first.slot(), second.slot());
  EXPECT_EQ(pool.n_free(), 0);
  const int32_t freed = first.slot();
  first = {};
  EXPECT_EQ(pool.n_free(), 1);
  EXPECT_EQ(pool.take().slot(), freed);
  EXPECT_EQ(pool.n_free(), 1);
}

TEST(AStateSlotPool, KeepsASlotTakenWhileItsLeaseIsMoved) {
  StateSlotPool pool(1);
  StateSlotPool::Lease lease = pool.take();
  {
    StateSlotPool::Lease moved = std::move(lease);
    EXPECT_EQ(moved.slot(), 0);
    EXPECT_EQ(pool.n_free(), 0);
  }
  EXPECT_EQ(pool.n_free(), 1);
}

}  // namespace
}  // namespace halod

#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace halod {
namespace {

TEST(AThreadPool, VisitsEveryItemOnceForAnyThreadCountAndChunk) {
  for (int n_threads : {1, 2, 3, 5}) {
    ThreadPool pool(n_threads);
    for (int64_t n_items : {0, 1, 2, 63, 257}) {
      for (int64_t chunk : {1, 7, 300}) {
        std::vector<std::atomic<int>> visits(static_cast<size_t>(n_items));
        pool.parallel_for(n_items, chunk, [&](int64_t begin, int64_t end, int worker_idx) {
          EXPECT_LT(worker_idx, n_threads);
          for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
        });
        for (const auto& count : visits) ASSERT_EQ(count, 1);
      }
    }
  }
}

TEST(AThreadPool, WakesWorkersThatFellAsleep) {
  ThreadPool pool(2);
  for (int round = 0; round < 3; ++round) {
    std::atomic<int> n_calls{0};
    pool.run([&](int, int) { ++n_calls; });
    EXPECT_EQ(n_calls, 2);
    // Longer than the workers spin, so that the next round has to wake them.
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

TEST(AThreadPool, RunsManyShortRegionsWithoutLosingOne) {
  ThreadPool pool(4);
  std::atomic<int> n_calls{0};
  for (int i = 0; i < 5000; ++i) pool.run([&](int, int) { n_calls.fetch_add(1, std::memory_order_relaxed); });
  EXPECT_EQ(n_calls, 20000);
}

TEST(AThreadPool, LetsOthersDoWhatASlowWorkerHasLeft) {
  ThreadPool pool(2);
  std::atomic<int> n_done{0};
  pool.parallel_for(64, 1, [&](int64_t begin, int64_t, int) {
    if (begin == 0) {
      // The first of one worker's share of 32 takes until all others, the rest of that share too, are done.
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
      while (n_done < 63 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
      EXPECT_EQ(n_done, 63);
    }
    ++n_done;
  });
  EXPECT_EQ(n_done, 64);
}

}  // namespace
}  // namespace halod

#include "runtime/engine/scheduler.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <vector>

namespace halod {
namespace {

constexpr int64_t kPage = 4;

class AScheduler : public testing::Test {
 protected:
  void start(int64_t n_pages, SchedulerOptions options = {}) {
    options.page_tokens = kPage;
    if (options.context_length == 0) options.context_length = n_pages * kPage;
    scheduler.reset();
    pool = std::make_unique<KvPagePool>(n_pages);
    scheduler = std::make_unique<Scheduler>(options, *pool);
  }

  void add(uint64_t id, int64_t n_prompt) {
    auto sequence = std::make_unique<Sequence>(*pool, nullptr, kPage);
    sequence->id = RequestId{id};
    sequence->n_prompt = n_prompt;
    sequence->tokens.assign(static_cast<size_t>(n_prompt), TokenId{1});
    scheduler->add(std::move(sequence));
  }

  /// Rows per request of one step, whose streams each get their next token.
  std::map<uint64_t, int32_t> step() {
    std::map<uint64_t, int32_t> n_rows;
    std::vector<Sequence*> streams;
    for (const ScheduledSlice& slice : scheduler->plan_step()) {
      n_rows[to_int(slice.sequence->id)] = slice.n_new;
      if (slice.gives_token) streams.push_back(slice.sequence);
      EXPECT_GE(slice.sequence->cache.n_pages() * kPage, slice.sequence->n_computed + slice.n_new);
    }
    scheduler->complete_step();
    for (Sequence* stream : streams) stream->tokens.push_back(TokenId{2});
    return n_rows;
  }

  using Rows = std::map<uint64_t, int32_t>;
  std::unique_ptr<KvPagePool> pool;
  std::unique_ptr<Scheduler> scheduler;  // destroyed before the pool
};

TEST_F(AScheduler, PlansNothingWithoutSequences) {
  start(4);
  EXPECT_TRUE(scheduler->plan_step().empty());
}

TEST_F(AScheduler, CutsAPromptIntoChunks) {
  start(16, {.prefill_chunk = 10});
  add(1, 25);
  EXPECT_EQ(step(), (Rows{{1, 10}}));
  EXPECT_EQ(step(), (Rows{{1, 10}}));
  EXPECT_EQ(step(), (Rows{{1, 5}}));
  EXPECT_EQ(step(), (Rows{{1, 1}}));
}

TEST_F(AScheduler, GivesEveryStreamARowWhileALongPromptIsComputed) {
  start(64, {.prefill_chunk = 8});
  add(1, 2);
  add(2, 3);
  step();
  add(3, 100);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(step(), (Rows{{1, 1}, {2, 1}, {3, 6}}));
}

TEST_F(AScheduler, GivesAPromptARowHoweverManyStreamsThereAre) {
  start(64, {.max_sequences = 5, .prefill_chunk = 3});
  for (uint64_t id = 1; id <= 4; ++id) add(id, 1);
  step();
  add(5, 20);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(step()[5], 1);
}

TEST_F(AScheduler, NeverPlansMoreRowsThanItSays) {
  for (const SchedulerOptions& options : {SchedulerOptions{.max_sequences = 5, .prefill_chunk = 3},
                                          {.max_sequences = 2, .prefill_chunk = 7},
                                          {.max_sequences = 1, .prefill_chunk = 1}}) {
    start(64, options);
    for (uint64_t id = 1; id <= 9; ++id) add(id, static_cast<int64_t>(1 + id * 7 % 11));
    for (int i = 0; i < 12; ++i) {
      int64_t n_rows = 0;
      for (const auto& [id, n] : step()) n_rows += n;
      EXPECT_LE(n_rows, Scheduler::max_step_tokens(options));
    }
  }
}

TEST_F(AScheduler, SharesAStepBetweenPromptsInOrderOfArrival) {
  start(64, {.prefill_chunk = 10});
  add(7, 6);
  add(3, 6);
  add(5, 6);
  EXPECT_EQ(step(), (Rows{{7, 6}, {3, 4}}));
  EXPECT_EQ(step(), (Rows{{7, 1}, {3, 2}, {5, 6}}));
}

TEST_F(AScheduler, RunsAtMostMaxSequencesAndAdmitsTheNextWhenOneLeaves) {
  start(64, {.max_sequences = 2});
  for (uint64_t id = 1; id <= 4; ++id) add(id, 2);
  step();
  EXPECT_EQ(scheduler->n_running(), 2);
  EXPECT_EQ(scheduler->n_waiting(), 2);
  ASSERT_NE(scheduler->remove(RequestId{1}), nullptr);
  EXPECT_EQ(step(), (Rows{{2, 1}, {3, 2}}));
}

TEST_F(AScheduler, LeavesAPromptWaitingUntilItsPagesAndItsGrowthFit) {
  start(8);
  add(1, 16);  // 4 pages, and one of growth
  step();
  EXPECT_EQ(pool->n_used(), 4);
  add(2, 9);  // 3 pages, one of growth, one reserved for the stream: 5 of the 4 left
  EXPECT_EQ(step(), (Rows{{1, 1}}));
  EXPECT_EQ(scheduler->n_waiting(), 1);
  scheduler->remove(RequestId{1});
  EXPECT_EQ(pool->n_used(), 0);
  EXPECT_EQ(step(), (Rows{{2, 9}}));
}

TEST_F(AScheduler, DoesNotLetASmallPromptOvertakeALargeOneThatWaits) {
  start(8);
  add(1, 16);
  step();
  add(2, 12);
  add(3, 1);
  EXPECT_EQ(step(), (Rows{{1, 1}}));
  EXPECT_EQ(scheduler->n_waiting(), 2);
}

TEST_F(AScheduler, AdmitsAPromptThatFillsTheWholePool) {
  start(4);
  add(1, 15);
  EXPECT_EQ(step(), (Rows{{1, 15}}));
  EXPECT_EQ(step(), (Rows{{1, 1}}));
}

TEST_F(AScheduler, PreemptsTheYoungestWhenThePoolRunsDryAndTakesItBackLater) {
  start(6, {.context_length = 24});
  add(1, 3);
  add(2, 3);
  step();
  int n_steps = 0;
  while (scheduler->n_preemptions() == 0 && n_steps++ < 20) {
    const auto rows = step();
    EXPECT_EQ(rows.at(1), 1) << "the oldest never pauses";
  }
  EXPECT_EQ(scheduler->n_preemptions(), 1U);
  EXPECT_EQ(scheduler->n_running(), 1);
  EXPECT_EQ(scheduler->n_waiting(), 1);
  EXPECT_EQ(pool->n_used(), 4) << "pages of the preempted sequence are free again";
  scheduler->remove(RequestId{1});
  EXPECT_EQ(step(), (Rows{{2, 13}})) << "prompt and answer so far are computed again";
}

TEST_F(AScheduler, TakesAPreemptedSequenceBackBeforeYoungerOnes) {
  start(6, {.context_length = 24});
  add(1, 3);
  add(2, 3);
  step();
  while (scheduler->n_preemptions() == 0) step();
  add(3, 2);
  scheduler->remove(RequestId{1});
  const auto rows = step();
  EXPECT_TRUE(rows.contains(2));
}

TEST_F(AScheduler, FreesThePagesOfARemovedSequenceWhereverItStands) {
  start(16, {.max_sequences = 2, .prefill_chunk = 4});
  for (uint64_t id = 1; id <= 3; ++id) add(id, 10);
  step();
  EXPECT_TRUE(scheduler->contains(RequestId{3}));
  EXPECT_NE(scheduler->remove(RequestId{3}), nullptr);  // waiting
  EXPECT_NE(scheduler->remove(RequestId{1}), nullptr);  // in the middle of its prompt
  EXPECT_EQ(scheduler->remove(RequestId{1}), nullptr);
  EXPECT_FALSE(scheduler->contains(RequestId{1}));
  EXPECT_EQ(pool->n_used(), 3);
  EXPECT_NE(scheduler->remove(RequestId{2}), nullptr);
  EXPECT_EQ(pool->n_used(), 0);
}

}  // namespace
}  // namespace halod

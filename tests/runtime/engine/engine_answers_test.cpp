// An answer depends on its request alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "tests/runtime/engine/engine_fixture.h"

namespace halod {
namespace {

using testing_support::answer_alone;
using testing_support::FakeEngine;
using testing_support::make_request;

const std::vector<SamplingParams>& sampling_cases() {
  static const std::vector<SamplingParams> cases = {
      {.temperature = 0},
      {.temperature = 0.9F, .top_p = 0.95F},
      {.temperature = 1.2F,
       .top_k = 30,
       .repetition_penalty = 1.2F,
       .presence_penalty = 0.5F,
       .frequency_penalty = 0.3F},
  };
  return cases;
}

std::vector<GenerationRequest> mixed_requests(size_t n) {
  std::vector<GenerationRequest> requests;
  for (size_t i = 0; i < n; ++i) {
    requests.push_back(make_request(i + 1, 1 + i * 37 % 150, static_cast<uint32_t>(5 + i * 13 % 60),
                                    sampling_cases()[i % 3]));
  }
  return requests;
}

void expect_answers_as_alone(FakeEngine& fake, const std::vector<GenerationRequest>& requests) {
  for (const GenerationRequest& request : requests) {
    EXPECT_EQ(fake.sink.answers[request.request_id], answer_alone(request))
        << "request " << request.request_id;
    EXPECT_TRUE(fake.sink.finished.contains(request.request_id));
  }
  EXPECT_EQ(fake.engine.stats().n_pages_used, 0);
}

TEST(AnAnswer, IsTheSameInABatchAsAlone) {
  FakeEngine fake;
  const auto requests = mixed_requests(20);
  for (const auto& request : requests) fake.engine.submit(request);
  fake.run();
  expect_answers_as_alone(fake, requests);
}

TEST(AnAnswer, IsTheSameWhereTheDeviceGivesTheBestTokensAlone) {
  FakeEngine fake;
  fake.model.finds_best = true;
  auto requests = mixed_requests(12);
  for (size_t i = 0; i < requests.size(); i += 4)
    requests[i].sampling = {.temperature = 0.9F, .top_k = 20, .top_p = 0.95F, .seed = i};
  for (const auto& request : requests) fake.engine.submit(request);
  fake.run();
  expect_answers_as_alone(fake, requests);
}

TEST(AnAnswer, IsTheSameForAnyPrefillChunk) {
  const auto requests = mixed_requests(6);
  for (const int64_t prefill_chunk : {1, 2, 3, 7, 31, 32, 33, 64, 100, 1000}) {
    FakeEngine fake({.prefill_chunk = prefill_chunk});
    for (const auto& request : requests) fake.engine.submit(request);
    fake.run();
    expect_answers_as_alone(fake, requests);
    EXPECT_LE(fake.model.largest_batch, std::max<int64_t>(prefill_chunk, 8));
  }
}

TEST(AnAnswer, IsTheSameWhenOthersJoinAndLeaveBetweenItsTokens) {
  FakeEngine fake({.max_sequences = 3, .prefill_chunk = 16});
  const auto requests = mixed_requests(12);
  for (const auto& request : requests) {
    fake.engine.submit(request);
    for (int i = 0; i < 5; ++i) fake.engine.step();
  }
  fake.run();
  expect_answers_as_alone(fake, requests);
}

TEST(AnAnswer, IsTheSameWhenItWasPreempted) {
  // 8 pages hold one sequence of full context, so that several fight for them.
  FakeEngine fake({.max_sequences = 6, .prefill_chunk = 40}, 8);
  std::vector<GenerationRequest> requests;
  for (size_t i = 0; i < 12; ++i)
    requests.push_back(make_request(i + 1, 10 + i, 120, sampling_cases()[i % 3]));
  for (const auto& request : requests) fake.engine.submit(request);
  fake.run();
  EXPECT_GT(fake.engine.stats().n_preemptions, 0U);
  expect_answers_as_alone(fake, requests);
}

TEST(AnAnswer, OfARecurrentModelIsTheSameWhateverSlotItsStateIsIn) {
  // As above, so that sequences come and go in the slots, and with a prefix that they share.
  FakeEngine fake({.max_sequences = 6, .prefill_chunk = 40}, 8, 256, true);
  std::vector<GenerationRequest> requests;
  for (size_t i = 0; i < 12; ++i) {
    requests.push_back(make_request(i + 1, 45, 120, sampling_cases()[i % 3]));
    requests.back().prompt = testing_support::make_prompt(45, 5);
    requests.back().prompt.push_back(static_cast<int32_t>(i));
  }
  for (const auto& request : requests) fake.engine.submit(request);
  for (int i = 0; i < 30; ++i) fake.engine.step();
  fake.engine.cancel(RequestId{2});
  fake.run();
  EXPECT_GT(fake.engine.stats().n_preemptions, 0U);
  EXPECT_EQ(fake.engine.stats().n_cached_tokens, 0U) << "pages without their state are no prefix";
  requests.erase(requests.begin() + 1);
  expect_answers_as_alone(fake, requests);
}

TEST(AnAnswer, IsTheSameWhenItsPromptWasCached) {
  for (const int64_t prefill_chunk : {5, 64, 512}) {
    FakeEngine fake({.prefill_chunk = prefill_chunk});
    std::vector<GenerationRequest> requests;
    for (uint64_t id = 1; id <= 6; ++id) {
      GenerationRequest request = make_request(id, 100, 20, sampling_cases()[id % 3]);
      request.prompt = testing_support::make_prompt(100, 5);
      request.prompt.resize(60 + id * 5, static_cast<int32_t>(id));
      requests.push_back(request);
    }
    for (const auto& request : requests) {
      fake.engine.submit(request);
      fake.run();
    }
    expect_answers_as_alone(fake, requests);
    EXPECT_EQ(fake.sink.finished[1].n_cached_tokens, 0U);
    for (uint64_t id = 2; id <= 6; ++id) EXPECT_EQ(fake.sink.finished[id].n_cached_tokens, 64U) << id;
  }
}

TEST(AnAnswer, IsTheSameWhenItIsTheNextTurnOfAChat) {
  FakeEngine fake;
  const GenerationRequest first = make_request(1, 50, 60);
  fake.engine.submit(first);
  fake.run();
  GenerationRequest second = make_request(2, 1, 30);
  second.prompt = first.prompt;
  second.prompt.insert(second.prompt.end(), fake.sink.answers[1].begin(), fake.sink.answers[1].end());
  second.prompt.insert(second.prompt.end(), {3, 1, 4, 1, 5});
  fake.engine.submit(second);
  fake.run();
  EXPECT_EQ(fake.sink.finished[2].n_cached_tokens, 96U) << "pages of the answer are reused too";
  EXPECT_EQ(fake.sink.answers[2], answer_alone(second));
}

TEST(AnAnswer, IsTheSameWhenItsWholePromptIsKnown) {
  FakeEngine fake;
  for (uint64_t id = 1; id <= 2; ++id) {
    GenerationRequest request = make_request(id, 96, 10);
    request.prompt = testing_support::make_prompt(96, 9);
    fake.engine.submit(request);
    fake.run();
  }
  EXPECT_EQ(fake.sink.finished[2].n_cached_tokens, 64U)
      << "the last page holds the token whose logits are needed";
  EXPECT_EQ(fake.sink.answers[2], fake.sink.answers[1]);
}

TEST(AResumedRequest, ContinuesAsIfUndisturbedWhereverItWasCut) {
  for (const SamplingParams& sampling : sampling_cases()) {
    const GenerationRequest request = make_request(4, 45, 40, sampling);
    const std::vector<int32_t> whole = answer_alone(request);
    ASSERT_EQ(whole.size(), 40U);
    for (size_t n_kept = 0; n_kept < whole.size(); ++n_kept) {
      GenerationRequest resumed = request;
      resumed.generated.assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n_kept));
      FakeEngine fake({.prefill_chunk = 16});
      fake.engine.submit(resumed);
      fake.run();
      EXPECT_EQ(fake.sink.first_idx[4], n_kept);
      EXPECT_EQ(fake.sink.answers[4],
                std::vector<int32_t>(whole.begin() + static_cast<std::ptrdiff_t>(n_kept), whole.end()));
      EXPECT_EQ(fake.sink.finished[4].n_generated_tokens, 40U);
    }
  }
}

TEST(AResumedRequest, EndsAtOnceWhenItHadItsLastToken) {
  FakeEngine fake;
  GenerationRequest full = make_request(1, 5, 3);
  full.generated = {7, 8, 9};
  fake.engine.submit(full);
  EXPECT_EQ(fake.sink.finished.at(1).reason, FinishReason::length);
  GenerationRequest stopped = make_request(2, 5, 30);
  stopped.stop_token_ids = {9};
  stopped.generated = {7, 8, 9};
  fake.engine.submit(stopped);
  EXPECT_EQ(fake.sink.finished.at(2).reason, FinishReason::stop);
  GenerationRequest at_context_end = make_request(3, 250, 30);
  at_context_end.generated = {1, 1, 1, 1, 1, 1};
  fake.engine.submit(at_context_end);
  EXPECT_EQ(fake.sink.finished.at(3).reason, FinishReason::length);
  EXPECT_FALSE(fake.engine.has_work());
  EXPECT_TRUE(fake.sink.answers.empty());
}

TEST(AnEngine, KeepsItsPromisesThroughThousandsOfRandomOperations) {
  std::mt19937 random(2024);
  FakeEngine fake({.max_sequences = 5, .prefill_chunk = 24}, 14);
  std::map<uint64_t, GenerationRequest> submitted;
  std::map<uint64_t, bool> cancelled;
  uint64_t next_id = 1;
  for (int i = 0; i < 6000; ++i) {
    const unsigned choice = random() % 100;
    if (choice < 8) {
      GenerationRequest request =
          make_request(next_id, 1 + random() % 120, 1 + random() % 80, sampling_cases()[random() % 3]);
      if (random() % 2 == 0)
        request.prompt = testing_support::make_prompt(request.prompt.size(), 3);  // shares its beginning
      submitted[next_id++] = request;
      fake.engine.submit(request);
    } else if (choice < 11 && next_id > 1) {
      const uint64_t id = next_id - 1 - random() % std::min<uint64_t>(next_id - 1, 10);
      cancelled[id] |= !fake.sink.finished.contains(id);
      fake.engine.cancel(RequestId{id});
    } else {
      fake.engine.step();
    }
  }
  fake.run();
  EXPECT_EQ(fake.engine.stats().n_pages_used, 0);
  EXPECT_GT(fake.engine.stats().n_preemptions, 0U);
  EXPECT_GT(fake.engine.stats().n_cached_tokens, 0U);
  ASSERT_EQ(fake.sink.finished.size(), submitted.size());
  size_t n_generated = 0;
  for (const auto& [id, request] : submitted) {
    const std::vector<int32_t> alone = answer_alone(request);
    const std::vector<int32_t>& answer = fake.sink.answers[id];
    n_generated += answer.size();
    EXPECT_EQ(fake.sink.finished[id].reason, cancelled[id] ? FinishReason::cancelled : FinishReason::length);
    if (!cancelled[id]) {
      ASSERT_EQ(answer, alone) << "request " << id;
    } else {
      ASSERT_TRUE(std::equal(answer.begin(), answer.end(), alone.begin())) << "request " << id;
    }
  }
  EXPECT_EQ(fake.engine.stats().n_generated_tokens, n_generated);
}

}  // namespace
}  // namespace halod

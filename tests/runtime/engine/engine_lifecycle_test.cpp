// How requests begin and end.
#include <gtest/gtest.h>
#include <algorithm>

#include "tests/runtime/engine/engine_fixture.h"

namespace halod {
namespace {

using testing_support::answer_alone;
using testing_support::FakeEngine;
using testing_support::make_request;

TEST(AnEngine, DoesNothingWithoutWork) {
  FakeEngine fake;
  EXPECT_FALSE(fake.engine.step());
  EXPECT_EQ(fake.model.n_steps, 0);
}

TEST(AnEngine, EndsAnAnswerAtMaxTokens) {
  FakeEngine fake;
  fake.engine.submit(make_request(1, 10, 7));
  fake.run();
  EXPECT_EQ(fake.sink.answers[1].size(), 7U);
  EXPECT_EQ(fake.sink.finished[1].reason, FinishReason::length);
  EXPECT_EQ(fake.sink.finished[1].n_prompt_tokens, 10U);
  EXPECT_EQ(fake.sink.finished[1].n_generated_tokens, 7U);
}

TEST(AnEngine, EndsAnAnswerAfterAStopTokenWhichItDelivers) {
  GenerationRequest request = make_request(1, 10, 40);
  const auto whole = answer_alone(request);
  request.stop_token_ids = {whole[20], 60};
  FakeEngine fake;
  fake.engine.submit(request);
  fake.run();
  const auto& answer = fake.sink.answers[1];
  ASSERT_FALSE(answer.empty());
  EXPECT_LE(answer.size(), 21U);
  EXPECT_TRUE(answer.back() == whole[20] || answer.back() == 60);
  EXPECT_EQ(std::count(answer.begin(), answer.end() - 1, answer.back()), 0);
  EXPECT_EQ(fake.sink.finished[1].reason, FinishReason::stop);
}

TEST(AnEngine, EndsAnAnswerAtTheEndOfTheContext) {
  FakeEngine fake({.context_length = 100});
  fake.engine.submit(make_request(1, 90, 1000));
  fake.engine.submit(make_request(2, 99, 1000));
  fake.run();
  EXPECT_EQ(fake.sink.answers[1].size(), 10U);
  EXPECT_EQ(fake.sink.answers[2].size(), 1U);
  EXPECT_EQ(fake.sink.finished[1].reason, FinishReason::length);
}

TEST(AnEngine, ServesAContextThatFillsThePool) {
  FakeEngine fake({.max_sequences = 4}, 8, 1000);  // the model could do 1000, the pool holds 256
  EXPECT_EQ(fake.engine.context_length(), 256);
  for (uint64_t id = 1; id <= 4; ++id) fake.engine.submit(make_request(id, 20, 1000));
  fake.run();
  for (uint64_t id = 1; id <= 4; ++id) EXPECT_EQ(fake.sink.answers[id].size(), 236U);
}

TEST(AnEngine, RefusesAPromptThatCanNeverFitAndSaysBothNumbers) {
  FakeEngine fake({.context_length = 100});
  fake.engine.submit(make_request(1, 100, 5));
  const RequestFinished& end = fake.sink.finished.at(1);
  EXPECT_EQ(end.reason, FinishReason::error);
  EXPECT_EQ(end.error_code, "context_overflow");
  EXPECT_NE(end.error_message.find("has 100 tokens"), std::string::npos) << end.error_message;
  EXPECT_NE(end.error_message.find("context is 100 tokens"), std::string::npos) << end.error_message;
  EXPECT_FALSE(fake.engine.has_work());
}

TEST(AnEngine, RefusesRequestsThatMakeNoSense) {
  FakeEngine fake;
  GenerationRequest empty = make_request(1, 1, 5);
  empty.prompt.clear();
  fake.engine.submit(empty);
  GenerationRequest foreign_token = make_request(2, 4, 5);
  foreign_token.prompt[3] = 61;
  fake.engine.submit(foreign_token);
  fake.engine.submit(make_request(3, 4, 0));
  fake.engine.submit(make_request(4, 4, 5, {.temperature = -1}));
  GenerationRequest negative_token = make_request(5, 4, 5);
  negative_token.generated = {-1};
  fake.engine.submit(negative_token);
  const std::map<uint64_t, std::string> expected = {{1, "prompt is empty"},
                                                    {2, "prompt[3] is token id 61"},
                                                    {3, "max_tokens"},
                                                    {4, "temperature"},
                                                    {5, "generated[0]"}};
  for (const auto& [id, text] : expected) {
    ASSERT_TRUE(fake.sink.finished.contains(id));
    EXPECT_EQ(fake.sink.finished[id].error_code, "invalid_argument");
    EXPECT_NE(fake.sink.finished[id].error_message.find(text), std::string::npos)
        << fake.sink.finished[id].error_message;
  }
  EXPECT_FALSE(fake.engine.step());
}

TEST(AnEngine, FreesPagesWhenARequestIsCancelled) {
  FakeEngine fake({.max_sequences = 2, .prefill_chunk = 16});
  for (uint64_t id = 1; id <= 3; ++id) fake.engine.submit(make_request(id, 100, 50));
  fake.engine.step();
  EXPECT_GT(fake.engine.stats().n_pages_used, 0);
  for (uint64_t id = 1; id <= 3; ++id) fake.engine.cancel(RequestId{id});  // in prefill, admitted, waiting
  EXPECT_EQ(fake.engine.stats().n_pages_used, 0);
  for (uint64_t id = 1; id <= 3; ++id) EXPECT_EQ(fake.sink.finished.at(id).reason, FinishReason::cancelled);
  EXPECT_FALSE(fake.engine.step());
  fake.engine.cancel(RequestId{1});  // once more, and one that never was
  fake.engine.cancel(RequestId{99});
  EXPECT_EQ(fake.sink.finished.size(), 3U);
}

TEST(AnEngine, StopsAStreamBetweenTokensWhenItIsCancelled) {
  FakeEngine fake;
  fake.engine.submit(make_request(1, 5, 100));
  for (int i = 0; i < 10; ++i) fake.engine.step();
  fake.engine.cancel(RequestId{1});
  EXPECT_EQ(fake.sink.answers[1].size(), 10U);
  EXPECT_EQ(fake.sink.finished[1].n_generated_tokens, 10U);
}

TEST(AnEngine, FailsOnlyTheRequestWhoseLogitsAreNotNumbers) {
  FakeEngine fake;
  fake.model.nan_token = 60;
  GenerationRequest broken = make_request(1, 5, 10);
  broken.prompt.back() = 60;
  GenerationRequest healthy = make_request(2, 5, 10, {.temperature = 0});
  healthy.sampling.logit_bias = {{60, -100.0F}};
  fake.engine.submit(broken);
  fake.engine.submit(healthy);
  fake.run();
  EXPECT_EQ(fake.sink.finished[1].reason, FinishReason::error);
  EXPECT_EQ(fake.sink.finished[1].error_code, "internal");
  EXPECT_EQ(fake.sink.finished[2].reason, FinishReason::length);
  EXPECT_EQ(fake.sink.answers[2].size(), 10U);
}

TEST(AnEngine, DoesNotReuseTheCacheOfARequestThatFailed) {
  FakeEngine fake;
  fake.model.nan_token = 60;
  GenerationRequest broken = make_request(1, 80, 10);
  broken.prompt.back() = 60;
  fake.engine.submit(broken);
  fake.run();
  ASSERT_EQ(fake.sink.finished[1].reason, FinishReason::error);
  fake.model.nan_token = -1;
  broken.request_id = 2;
  fake.engine.submit(broken);
  fake.run();
  EXPECT_EQ(fake.sink.finished[2].n_cached_tokens, 0U);
  EXPECT_EQ(fake.sink.answers[2], answer_alone(broken));
}

TEST(AnEngine, KeepsStreamsRunningWhileALongPromptArrives) {
  FakeEngine fake({.prefill_chunk = 10});
  fake.engine.submit(make_request(1, 4, 100));
  fake.engine.step();
  fake.engine.submit(make_request(2, 200, 5));
  for (size_t n_tokens = 2; n_tokens <= 20; ++n_tokens) {
    fake.engine.step();
    EXPECT_EQ(fake.sink.answers[1].size(), n_tokens);
  }
  fake.run();
  EXPECT_EQ(fake.sink.answers[2].size(), 5U);
}

TEST(AnEngine, FinishesAPromptWhileStreamsFillTheStep) {
  FakeEngine fake({.max_sequences = 4, .prefill_chunk = 2});
  for (uint64_t id = 1; id <= 3; ++id) fake.engine.submit(make_request(id, 1, 200));
  fake.engine.submit(make_request(4, 20, 1));
  for (int i = 0; i < 40; ++i) fake.engine.step();
  EXPECT_TRUE(fake.sink.finished.contains(4));
  EXPECT_FALSE(fake.sink.finished.contains(1));
}

TEST(AnEngine, CountsWhatItDid) {
  FakeEngine fake({.prefill_chunk = 64});
  EXPECT_EQ(fake.engine.stats().n_pages, 64);
  fake.engine.submit(make_request(1, 100, 6));
  fake.engine.submit(make_request(2, 40, 9));
  EXPECT_EQ(fake.engine.stats().n_waiting, 2);
  fake.engine.step();
  EXPECT_EQ(fake.engine.stats().n_running, 2);
  EXPECT_EQ(fake.engine.stats().n_waiting, 0);
  EXPECT_EQ(fake.engine.stats().n_pages_used, 4 + 2);
  fake.run();
  const EngineStats stats = fake.engine.stats();
  EXPECT_EQ(stats.n_prompt_tokens, 140U);
  EXPECT_EQ(stats.n_generated_tokens, 15U);
  EXPECT_EQ(stats.n_steps, static_cast<uint64_t>(fake.model.n_steps));
  // Every answer token but the last is computed too.
  EXPECT_EQ(fake.model.n_rows_computed, 140 + 5 + 8);
  EXPECT_EQ(stats.n_running, 0);
}

TEST(AnEngine, TellsPrefillAndDecodeTimeApart) {
  double now = 0;
  FakeEngine fake({.prefill_chunk = 50, .now_seconds = [&] { return now; }});
  fake.model.before_forward = [&](const Batch& batch) { now += batch.tokens.size() > 1 ? 3 : 1; };
  fake.engine.submit(make_request(1, 100, 5));
  now = 10;  // time in the queue belongs to neither
  fake.run();
  EXPECT_DOUBLE_EQ(fake.sink.finished[1].prefill_seconds, 6);
  EXPECT_DOUBLE_EQ(fake.sink.finished[1].decode_seconds, 4);
  EXPECT_DOUBLE_EQ(fake.engine.stats().busy_seconds, 10);
}

TEST(AnEngine, DeliversLogprobsWhenAsked) {
  FakeEngine fake;
  fake.engine.submit(make_request(1, 5, 3, {.temperature = 0, .n_logprobs = 4}));
  fake.engine.submit(make_request(2, 5, 3));
  fake.run();
  for (const GeneratedToken& token : fake.sink.tokens) {
    if (token.request_id == 1) {
      ASSERT_EQ(token.top_logprobs.size(), 4U);
      EXPECT_EQ(token.top_logprobs[0].token_id, token.token_id);
      EXPECT_EQ(token.top_logprobs[0].logprob, token.logprob);
      EXPECT_LT(token.logprob, 0);
    } else {
      EXPECT_TRUE(token.top_logprobs.empty());
    }
  }
}

TEST(AnEngine, WarmsUpWithoutTouchingAnswers) {
  FakeEngine fake({.prefill_chunk = 64});
  fake.engine.warm_up();
  EXPECT_EQ(fake.model.n_steps, 2);
  EXPECT_EQ(fake.engine.stats().n_prompt_tokens, 0U);
  const GenerationRequest request = make_request(1, 50, 10);
  fake.engine.submit(request);
  fake.run();
  EXPECT_EQ(fake.sink.answers[1], answer_alone(request));
}

TEST(AnEngine, LetsADeviceErrorThrough) {
  FakeEngine fake;
  fake.model.before_forward = [](const Batch&) { throw DeviceError("the GPU hung"); };
  fake.engine.submit(make_request(1, 5, 3));
  EXPECT_THROW(fake.engine.step(), DeviceError);
}

}  // namespace
}  // namespace halod

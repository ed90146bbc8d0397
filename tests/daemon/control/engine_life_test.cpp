// What requests notice when the engine dies, hangs, or cannot load.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "tests/daemon/support/control_plane_fixture.h"

namespace halod {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

TEST_F(AControlPlane, ReportsLoadingWithPercentAndThenReady) {
  engine_.load_by_itself = false;
  plane_.start();
  ASSERT_TRUE(wait_until([this] { return models().readiness().percent == 25; }));
  EXPECT_EQ(state(), ServiceState::kLoading);
  EXPECT_THAT(on_io([this] { return models().readiness().reason; }), HasSubstr("25 %"));
  on_engine([](FakeEngine& engine) {
    engine.send(wire::encode(wire::FrameType::kLoadProgress, wire::LoadProgress{1, "warm-up", 0, 0}));
  });
  ASSERT_TRUE(wait_until([this] { return models().readiness().state == ServiceState::kWarming; }));
  on_engine([](FakeEngine& engine) { engine.finish_load(); });
  EXPECT_TRUE(wait_until([this] { return models().readiness().ready(); }));
}

TEST_F(AControlPlane, DeliversTokensOfSeveralChoicesAndTheirEnd) {
  start_and_wait();
  const auto events = submit({GenerationRequest{.prompt = {10}, .max_tokens = 3},
                              GenerationRequest{.prompt = {20}, .max_tokens = 20}})
                          .get()
                          .value();
  std::vector<std::vector<int32_t>> tokens(2);
  std::vector<FinishReason> ends(2);
  for (const auto& event : events) {
    if (const auto* token = std::get_if<GeneratedToken>(&event.what))
      tokens[event.choice_idx].push_back(token->token_id);
    if (const auto* end = std::get_if<RequestFinished>(&event.what)) ends[event.choice_idx] = end->reason;
  }
  EXPECT_THAT(tokens[0], ElementsAre(10, 11, 12));
  EXPECT_THAT(tokens[1], ElementsAre(20, 21, 22, 23, 24, 25, 26, 27, 28, 256));
  EXPECT_THAT(ends, ElementsAre(FinishReason::length, FinishReason::stop));
}

TEST_F(AControlPlane, CancelsInTheEngineWhenAGenerationIsDropped) {
  engine_.automatic = false;
  start_and_wait();
  on_io([this] {
    auto generation = models().submit(*models().active_model()->served, {GenerationRequest{.prompt = {1}}});
  });
  EXPECT_TRUE(wait_until([this] { return engine_.cancelled.size() == 1 && engine_.n_live() == 0; }));
  EXPECT_EQ(on_io([this] { return models().n_unfinished(); }), 0U);
}

TEST_F(AControlPlane, ResumesAfterADeathWithTheSameAnswer) {
  engine_.automatic = false;
  start_and_wait();
  auto answer = submit_one(40);
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  on_engine([](FakeEngine& engine) { engine.step(4); });
  ASSERT_TRUE(wait_until([this] { return metrics_.generated_tokens.Value() == 4; }));
  on_engine([](FakeEngine& engine) { engine.die(); });
  ASSERT_TRUE(wait_until([this] { return engine_.n_launched == 2 && engine_.n_live() == 1; }));
  EXPECT_THAT(on_io([this] { return engine_.submitted.back().generated; }), ElementsAre(40, 41, 42, 43));
  on_engine([](FakeEngine& engine) { engine.step(100); });
  const auto events = answer.get().value();
  EXPECT_THAT(tokens_of(events), ElementsAre(40, 41, 42, 43, 44, 45, 46, 47, 48, 256));
  EXPECT_EQ(last_word(events).reason, FinishReason::stop);
}

TEST_F(AControlPlane, GivesUpARequestThatKillsTheEngineEachTimeAndKeepsTheOthers) {
  engine_.automatic = false;
  start_and_wait();
  auto innocent = submit_one(40);
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  on_engine([](FakeEngine& engine) { engine.step(2); });
  ASSERT_TRUE(wait_until([this] { return metrics_.generated_tokens.Value() == 2; }));
  auto poison = submit_one(66);
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 2; }));
  bool poison_is_failed = false;  // the io thread's
  // Whenever the poison is in the engine, the engine dies; else the innocent one goes on.
  const auto play = [&] {
    const bool poison_runs =
        engine_.n_live() > 0 && !engine_.submitted.empty() && engine_.submitted.back().prompt.front() == 66;
    if (poison_runs) {
      engine_.die();
    } else if (engine_.n_live() > 0) {
      engine_.step(1);
    }
    return poison_is_failed;
  };
  auto watcher = std::async(std::launch::async, [&] {
    auto events = poison.get().value();
    on_io([&] { poison_is_failed = true; });
    return events;
  });
  EXPECT_TRUE(wait_until(play));
  const auto poisoned = watcher.get();
  EXPECT_EQ(last_word(poisoned).reason, FinishReason::error);
  EXPECT_THAT(last_word(poisoned).error_message, HasSubstr("3 times in a row"));
  ASSERT_TRUE(wait_until([this] {
    engine_.step(100);
    return models().n_unfinished() == 0;
  }));
  EXPECT_THAT(tokens_of(innocent.get().value()), ElementsAre(40, 41, 42, 43, 44, 45, 46, 47, 48, 256));
}

TEST_F(AControlPlane, RestartsAnEngineThatDoesNotAnswerPings) {
  plane_.config.engine.heartbeat_timeout = 100ms;
  engine_.answers_pings = false;
  start_and_wait();
  EXPECT_TRUE(wait_until([this] { return engine_.n_launched >= 2; }));
}

TEST_F(AControlPlane, RestartsAnEngineThatLosesATokenOrSpeaksNonsense) {
  engine_.automatic = false;
  start_and_wait();
  auto answer = submit_one(40);
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  on_engine([](FakeEngine& engine) {
    const GeneratedToken token{.request_id = engine.submitted.back().request_id, .answer_idx = 1};
    engine.send(wire::encode(wire::FrameType::kTokens, wire::Tokens{{token}}));
  });
  ASSERT_TRUE(wait_until([this] { return engine_.n_launched == 2 && engine_.n_live() == 1; }));
  on_engine([](FakeEngine& engine) { engine.send("not a frame at all, surely"); });
  ASSERT_TRUE(wait_until([this] { return engine_.n_launched == 3 && engine_.n_live() == 1; }));
  on_engine([](FakeEngine& engine) { engine.step(100); });
  EXPECT_EQ(tokens_of(answer.get().value()).size(), 10U);
}

TEST_F(AControlPlane, EndsWithTheEnginesOwnMessageWhenTheModelCannotBeLoadedAtTheStart) {
  engine_.load_failure = wire::LoadFailure{
      .error_code = "corrupt_file", .message = "fake.gguf: tensor_count says 9 and the file ends after 2"};
  plane_.start();
  const Result<> result = plane_.models_result();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kCorruptFile);
  EXPECT_EQ(result.error().message, engine_.load_failure->message);
  plane_.stop(0ms).get();
}

TEST_F(AControlPlane, EndsWhenThereIsNoEngineToStart) {
  engine_.can_launch = false;
  plane_.start();
  EXPECT_THAT(plane_.engine_result().error().message, HasSubstr("no such program"));
  plane_.stop(0ms).get();
}

TEST_F(AControlPlane, KeepsTryingToLoadAModelThatWasLoadedBefore) {
  start_and_wait();
  on_engine([](FakeEngine& engine) {
    engine.load_failure = wire::LoadFailure{.error_code = "not_found", .message = "fake.gguf is gone"};
    engine.die();
  });
  ASSERT_TRUE(wait_until([this] { return models().readiness().state == ServiceState::kDegraded; }));
  EXPECT_THAT(on_io([this] { return models().readiness().reason; }), HasSubstr("fake.gguf is gone"));
  ASSERT_TRUE(wait_until([this] { return engine_.loads.size() >= 3; }));
  on_engine([](FakeEngine& engine) { engine.load_failure.reset(); });
  EXPECT_TRUE(wait_until([this] { return models().readiness().ready(); }));
}

TEST_F(AControlPlane, RefusesMoreRequestsThanTheLimit) {
  engine_.automatic = false;
  plane_.config.limits.max_requests = 2;
  start_and_wait();
  auto first = submit_one(1);
  auto second = submit_one(2);
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 2; }));
  const auto third = submit({GenerationRequest{.prompt = {3}}}).get();
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().code, ErrorCode::kQueueFull);
  EXPECT_THAT(third.error().message, HasSubstr("2 requests are running or waiting"));
  on_engine([](FakeEngine& engine) {
    engine.step(100);
    engine.automatic = true;
  });
  first.get().value();
  second.get().value();
  EXPECT_TRUE(submit({GenerationRequest{.prompt = {3}, .max_tokens = 1}}).get());
}

TEST_F(AControlPlane, FinishesRequestsBeforeItStops) {
  engine_.automatic = false;
  start_and_wait();
  auto answer = submit_one(40);
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  auto stopped = plane_.stop(10s);
  ASSERT_TRUE(wait_until([this] { return models().readiness().state == ServiceState::kStopping; }));
  EXPECT_EQ(submit({GenerationRequest{.prompt = {1}}}).get().error().code, ErrorCode::kUnavailable);
  on_engine([](FakeEngine& engine) { engine.step(100); });
  EXPECT_EQ(last_word(answer.get().value()).reason, FinishReason::stop);
  stopped.get();
  EXPECT_TRUE(plane_.models_result());
  EXPECT_TRUE(engine_.got_shutdown);
}

TEST_F(AControlPlane, CancelsWhatDoesNotFinishInTime) {
  engine_.automatic = false;
  start_and_wait();
  auto answer = submit_one(40);
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  plane_.stop(1ms).get();
  const auto events = answer.get().value();
  EXPECT_EQ(last_word(events).reason, FinishReason::error);
  EXPECT_EQ(last_word(events).error_code, "unavailable");
  EXPECT_TRUE(plane_.models_result());
}

}  // namespace
}  // namespace halod

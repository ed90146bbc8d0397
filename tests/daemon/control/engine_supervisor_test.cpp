#include "daemon/control/engine_supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_future.hpp>
#include <future>

#include "tests/daemon/support/fake_engine.h"
#include "tests/daemon/support/io_thread.h"

namespace halod {
namespace {

namespace asio = boost::asio;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

EngineConfig quick_config() {
  EngineConfig config;
  config.heartbeat_interval = 10ms;
  config.restart_delay_min = 1ms;
  config.restart_delay_max = 4ms;
  return config;
}

/// Collects one generation to its end.
asio::awaitable<std::vector<GenerationEvent>> collect(Generation generation) {
  std::vector<GenerationEvent> all;
  while (!generation.all_finished()) {
    for (GenerationEvent& event : co_await generation.next()) all.push_back(std::move(event));
  }
  co_return all;
}

std::vector<int32_t> tokens_of(const std::vector<GenerationEvent>& events) {
  std::vector<int32_t> ids;
  for (const GenerationEvent& event : events) {
    if (const auto* token = std::get_if<GeneratedToken>(&event.what)) ids.push_back(token->token_id);
  }
  return ids;
}

const RequestFinished& last_word(const std::vector<GenerationEvent>& events) {
  return std::get<RequestFinished>(events.back().what);
}

class ASupervisor : public ::testing::Test {
 protected:
  ASupervisor() {
    engine_.next_token = [](const GenerationRequest& request, uint32_t answer_idx) {
      return answer_idx == 9 ? 256 : request.prompt.front() + static_cast<int32_t>(answer_idx);
    };
  }
  ~ASupervisor() override { thread_.stop(); }

  void start(const EngineConfig& config = quick_config(), uint32_t max_requests = 16) {
    thread_.call([&] {
      supervisor_ =
          std::make_unique<EngineSupervisor>(EngineSupervisor::Setup{.executor = thread_.io().get_executor(),
                                                                     .launcher = engine_,
                                                                     .metrics = metrics_,
                                                                     .config = config,
                                                                     .max_requests = max_requests,
                                                                     .model = {.path = "fake.gguf"}});
    });
    ran_ = asio::co_spawn(thread_.io(), supervisor_->run(), asio::use_future);
  }
  void start_and_wait(const EngineConfig& config = quick_config(), uint32_t max_requests = 16) {
    start(config, max_requests);
    ASSERT_TRUE(wait_until([this] { return supervisor_->readiness().ready(); }));
  }

  template <class Condition>
  bool wait_until(Condition condition) {
    return thread_.wait_until(std::move(condition));
  }
  EngineState state() {
    return thread_.call([this] { return supervisor_->readiness().state; });
  }
  std::string reason() {
    return thread_.call([this] { return supervisor_->readiness().reason; });
  }

  Result<std::future<std::vector<GenerationEvent>>> submit(std::vector<GenerationRequest> requests) {
    return thread_.call([&]() -> Result<std::future<std::vector<GenerationEvent>>> {
      auto generation = supervisor_->submit(std::move(requests));
      if (!generation) return generation.error();
      return asio::co_spawn(thread_.io(), collect(std::move(*generation)), asio::use_future);
    });
  }
  std::future<std::vector<GenerationEvent>> submit_one(int32_t first_token, uint32_t max_tokens = 100) {
    return std::move(submit({GenerationRequest{.prompt = {first_token}, .max_tokens = max_tokens}}).value());
  }
  template <class Function>
  void on_engine(Function function) {
    thread_.call([&] { function(engine_); });
  }

  Metrics metrics_;
  IoThread thread_;
  FakeEngine engine_{thread_.io().get_executor()};
  std::unique_ptr<EngineSupervisor> supervisor_;
  std::future<Result<>> ran_;
  bool poison_is_failed_ = false;
};

TEST_F(ASupervisor, ReportsLoadingWithPercentAndThenReady) {
  engine_.load_by_itself = false;
  start();
  ASSERT_TRUE(wait_until([this] { return supervisor_->readiness().percent == 25; }));
  EXPECT_EQ(state(), EngineState::kLoading);
  EXPECT_THAT(reason(), HasSubstr("25 %"));
  EXPECT_EQ(submit({GenerationRequest{.prompt = {1}}}).error().code, ErrorCode::kUnavailable);
  on_engine([](FakeEngine& engine) {
    engine.send(wire::encode(wire::FrameType::kLoadProgress, wire::LoadProgress{"warm-up", 0, 0}));
  });
  ASSERT_TRUE(wait_until([this] { return supervisor_->readiness().state == EngineState::kWarming; }));
  on_engine([](FakeEngine& engine) { engine.finish_load(); });
  EXPECT_TRUE(wait_until([this] { return supervisor_->readiness().ready(); }));
}

TEST_F(ASupervisor, DeliversTokensOfSeveralChoicesAndTheirEnd) {
  start_and_wait();
  auto result = submit({GenerationRequest{.prompt = {10}, .max_tokens = 3},
                        GenerationRequest{.prompt = {20}, .max_tokens = 20}});
  ASSERT_TRUE(result);
  const auto events = result->get();
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

TEST_F(ASupervisor, CancelsInTheEngineWhenAGenerationIsDropped) {
  engine_.automatic = false;
  start_and_wait();
  thread_.call([this] { auto generation = supervisor_->submit({GenerationRequest{.prompt = {1}}}); });
  EXPECT_TRUE(wait_until([this] { return engine_.cancelled.size() == 1 && engine_.n_live() == 0; }));
  EXPECT_EQ(thread_.call([this] { return supervisor_->n_unfinished(); }), 0U);
}

TEST_F(ASupervisor, ResumesAfterADeathWithTheSameAnswer) {
  engine_.automatic = false;
  start_and_wait();
  auto answer = submit_one(40);
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  on_engine([](FakeEngine& engine) { engine.step(4); });
  ASSERT_TRUE(wait_until([this] { return metrics_.generated_tokens.Value() == 4; }));
  on_engine([](FakeEngine& engine) { engine.die(); });
  ASSERT_TRUE(wait_until([this] { return engine_.n_launched == 2 && engine_.n_live() == 1; }));
  EXPECT_THAT(thread_.call([this] { return engine_.submitted.back().generated; }),
              ElementsAre(40, 41, 42, 43));
  on_engine([](FakeEngine& engine) { engine.step(100); });
  const auto events = answer.get();
  EXPECT_THAT(tokens_of(events), ElementsAre(40, 41, 42, 43, 44, 45, 46, 47, 48, 256));
  EXPECT_EQ(last_word(events).reason, FinishReason::stop);
}

TEST_F(ASupervisor, GivesUpARequestThatKillsTheEngineEachTimeAndKeepsTheOthers) {
  engine_.automatic = false;
  start_and_wait();
  auto innocent = submit_one(40);
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  on_engine([](FakeEngine& engine) { engine.step(2); });
  ASSERT_TRUE(wait_until([this] { return metrics_.generated_tokens.Value() == 2; }));
  auto poison = submit_one(66);
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 2; }));
  // Whenever the poison is in the engine, the engine dies; else the innocent one goes on.
  const auto play = [this] {
    const bool poison_runs =
        engine_.n_live() > 0 && !engine_.submitted.empty() && engine_.submitted.back().prompt.front() == 66;
    if (poison_runs) {
      engine_.die();
    } else if (engine_.n_live() > 0) {
      engine_.step(1);
    }
    return poison_is_failed_;
  };
  auto watcher = std::async(std::launch::async, [&] {
    auto events = poison.get();
    thread_.call([this] { poison_is_failed_ = true; });
    return events;
  });
  EXPECT_TRUE(wait_until(play));
  const auto poisoned = watcher.get();
  EXPECT_EQ(last_word(poisoned).reason, FinishReason::error);
  EXPECT_THAT(last_word(poisoned).error_message, HasSubstr("3 times in a row"));
  ASSERT_TRUE(wait_until([this] {
    engine_.step(100);
    return supervisor_->n_unfinished() == 0;
  }));
  EXPECT_THAT(tokens_of(innocent.get()), ElementsAre(40, 41, 42, 43, 44, 45, 46, 47, 48, 256));
}

TEST_F(ASupervisor, RestartsAnEngineThatDoesNotAnswerPings) {
  EngineConfig config = quick_config();
  config.heartbeat_timeout = 100ms;
  engine_.answers_pings = false;
  start_and_wait(config);
  EXPECT_TRUE(wait_until([this] { return engine_.n_launched >= 2; }));
}

TEST_F(ASupervisor, RestartsAnEngineThatLosesATokenOrSpeaksNonsense) {
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
  EXPECT_EQ(tokens_of(answer.get()).size(), 10U);
}

TEST_F(ASupervisor, EndsWithTheEnginesOwnMessageWhenTheModelCannotBeLoadedAtTheStart) {
  engine_.load_failure =
      wire::Failure{"corrupt_file", "fake.gguf: tensor_count says 9 and the file ends after 2"};
  start();
  const Result<> result = ran_.get();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kCorruptFile);
  EXPECT_EQ(result.error().message, engine_.load_failure->message);
  EXPECT_EQ(state(), EngineState::kFailed);
}

TEST_F(ASupervisor, EndsWhenThereIsNoEngineToStart) {
  engine_.can_launch = false;
  start();
  EXPECT_THAT(ran_.get().error().message, HasSubstr("no such program"));
}

TEST_F(ASupervisor, KeepsTryingToLoadAModelThatWasLoadedBefore) {
  start_and_wait();
  on_engine([](FakeEngine& engine) {
    engine.load_failure = wire::Failure{"not_found", "fake.gguf is gone"};
    engine.die();
  });
  ASSERT_TRUE(wait_until([this] { return engine_.n_launched >= 4; }));
  on_engine([](FakeEngine& engine) { engine.load_failure.reset(); });
  EXPECT_TRUE(wait_until([this] { return supervisor_->readiness().ready(); }));
}

TEST_F(ASupervisor, RefusesMoreRequestsThanTheLimit) {
  engine_.automatic = false;
  start_and_wait(quick_config(), 2);
  auto first = submit_one(1);
  auto second = submit_one(2);
  const auto third = submit({GenerationRequest{.prompt = {3}}});
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().code, ErrorCode::kQueueFull);
  EXPECT_THAT(third.error().message, HasSubstr("2 requests are running or waiting"));
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 2; }));
  on_engine([](FakeEngine& engine) { engine.step(100); });
  first.get();
  second.get();
  EXPECT_TRUE(submit({GenerationRequest{.prompt = {3}, .max_tokens = 1}}));
}

TEST_F(ASupervisor, FinishesRequestsBeforeItStops) {
  engine_.automatic = false;
  start_and_wait();
  auto answer = submit_one(40);
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  auto stopped = asio::co_spawn(thread_.io(), supervisor_->shutdown(10s), asio::use_future);
  ASSERT_TRUE(wait_until([this] { return supervisor_->readiness().state == EngineState::kStopping; }));
  EXPECT_EQ(submit({GenerationRequest{.prompt = {1}}}).error().code, ErrorCode::kUnavailable);
  on_engine([](FakeEngine& engine) { engine.step(100); });
  EXPECT_EQ(last_word(answer.get()).reason, FinishReason::stop);
  stopped.get();
  EXPECT_TRUE(ran_.get());
  EXPECT_TRUE(engine_.got_shutdown);
}

TEST_F(ASupervisor, CancelsWhatDoesNotFinishInTime) {
  engine_.automatic = false;
  start_and_wait();
  auto answer = submit_one(40);
  asio::co_spawn(thread_.io(), supervisor_->shutdown(1ms), asio::use_future).get();
  const auto events = answer.get();
  EXPECT_EQ(last_word(events).reason, FinishReason::error);
  EXPECT_EQ(last_word(events).error_code, "unavailable");
  EXPECT_TRUE(ran_.get());
}

}  // namespace
}  // namespace halod

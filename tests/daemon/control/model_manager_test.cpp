#include "daemon/control/model_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/detached.hpp>
#include <future>

#include "tests/daemon/support/control_plane_fixture.h"

namespace halod {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using namespace std::chrono_literals;

/// Remembers what it was told, in words.
class Listener : public ControlObserver {
 public:
  void on_active_model(const Model* model) override {
    events.push_back("active " + (model ? model->spec.name : ""));
  }
  void on_job_added(const Job& job) override { events.push_back("added " + describe(job)); }
  void on_job_ended(const Job& job) override {
    events.push_back(std::string(to_string(job.state)) + " " + describe(job));
  }
  std::vector<std::string> events;

 private:
  static std::string describe(const Job& job) {
    return std::string(to_string(job.kind)) + " " + job.model_name;
  }
};

/// Two small models, a and b (also called "beta"), and a large one; memory for 100.
class AModelManager : public AControlPlane {
 protected:
  AModelManager() {
    plane_.config.models.list = {
        {.path = "a.gguf"}, {.path = "b.gguf", .aliases = {"beta"}}, {.path = "large.gguf"}};
    const auto path = [](const char* name) { return (std::filesystem::current_path() / name).string(); };
    engine_.memory_needed = {{path("a.gguf"), 40}, {path("b.gguf"), 40}, {path("large.gguf"), 90}};
    engine_.memory = 100;
  }

  Result<> do_job(const Result<JobId>& job) {
    if (!job) return job.error();
    return boost::asio::co_spawn(plane_.thread.io(), models().wait_for(*job), boost::asio::use_future).get();
  }
  Result<> load(const std::string& name) {
    return do_job(on_io([&] { return models().load(name, {}); }));
  }
  Result<> unload(const std::string& name, DrainPolicy policy = DrainPolicy::kDrain) {
    return do_job(on_io([&] { return models().unload(name, policy, {}); }));
  }
  Result<> swap(const std::string& name, DrainPolicy policy = DrainPolicy::kDrain) {
    return do_job(on_io([&] { return models().swap(name, policy, {}); }));
  }
  std::vector<std::string> resident() {
    std::vector<std::string> names;
    for (const std::string& path : on_io([this] { return engine_.resident(); }))
      names.push_back(std::filesystem::path(path).stem());
    return names;
  }
  std::string active() {
    return on_io([this] { return models().active_model()->spec.name; });
  }
  ModelState state_of(const std::string& name) {
    return on_io([&] { return models().find_model(name)->state; });
  }
  std::vector<int32_t> ask_for(int32_t first_token, const std::string& model) {
    return tokens_of(submit_one(first_token, 3, model).get().value());
  }
};

TEST_F(AModelManager, LoadsTheFirstModelAndOthersWhenTheyAreAskedFor) {
  start_and_wait();
  EXPECT_THAT(resident(), ElementsAre("a"));
  EXPECT_THAT(ask_for(5, "beta"), ElementsAre(5, 6, 7));
  EXPECT_THAT(resident(), UnorderedElementsAre("a", "b"));
  EXPECT_EQ(active(), "a");
}

TEST_F(AModelManager, LoadsTheConfiguredDefault) {
  plane_.config.models.default_model = "beta";
  start_and_wait();
  EXPECT_EQ(active(), "b");
}

TEST_F(AModelManager, EndsWhenTheDefaultDoesNotExist) {
  plane_.config.models.default_model = "c";
  plane_.start();
  EXPECT_THAT(plane_.models_result().error().message, HasSubstr("models.default is 'c'"));
  plane_.stop(0ms).get();
}

TEST_F(AModelManager, RefusesAnUnknownModelByName) {
  start_and_wait();
  EXPECT_EQ(load("nobody").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(submit_one(1, 3, "nobody").get().error().code, ErrorCode::kNotFound);
}

TEST_F(AModelManager, DoesNotLoadOnRequestWhereThatIsOff) {
  plane_.config.models.load_on_request = false;
  start_and_wait();
  const auto refused = submit_one(1, 3, "b").get();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("haloctl load b"));
  EXPECT_TRUE(load("b"));
  EXPECT_THAT(ask_for(5, "b"), ElementsAre(5, 6, 7));
}

TEST_F(AModelManager, MakesRoomByUnloadingWhatWasUsedLeastRecently) {
  start_and_wait();
  EXPECT_TRUE(load("b"));
  ask_for(1, "b");
  ask_for(1, "a");
  EXPECT_TRUE(load("large"));
  EXPECT_THAT(resident(), ElementsAre("large")) << "both had to go";
  EXPECT_EQ(state_of("a"), ModelState::kAvailable);
}

TEST_F(AModelManager, NeverUnloadsAPinnedModel) {
  plane_.config.models.list[0].pinned = true;
  start_and_wait();
  const auto refused = load("large");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kOutOfMemory);
  EXPECT_THAT(resident(), ElementsAre("a"));
}

TEST_F(AModelManager, UnloadsNothingForAModelThatWouldNotFitAnyway) {
  on_io([this] { engine_.memory = 80; });
  start_and_wait();
  EXPECT_TRUE(load("b"));
  EXPECT_EQ(load("large").error().code, ErrorCode::kOutOfMemory);
  EXPECT_THAT(resident(), UnorderedElementsAre("a", "b"));
}

TEST_F(AModelManager, KeepsNoMoreModelsThanItMay) {
  plane_.config.models.max_resident = 1;
  start_and_wait();
  EXPECT_TRUE(load("b"));
  EXPECT_THAT(resident(), ElementsAre("b"));
}

TEST_F(AModelManager, LetsRequestsWaitUntilItKnowsItsModels) {
  std::promise<void> go;
  const auto block = [until = go.get_future().share()] {
    until.wait();
    return true;
  };
  // Both threads that could list the models are busy.
  for (int i = 0; i < 2; ++i)
    boost::asio::co_spawn(plane_.thread.io(), plane_.workers.run(block), boost::asio::detached);
  plane_.start();
  auto unnamed = submit_one(40), named = submit_one(50, 100, "b"), unknown = submit_one(60, 100, "nobody");
  EXPECT_EQ(unnamed.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  EXPECT_EQ(named.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  EXPECT_EQ(unknown.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  go.set_value();
  EXPECT_EQ(last_word(unnamed.get().value()).reason, FinishReason::stop);
  EXPECT_EQ(last_word(named.get().value()).reason, FinishReason::stop);
  EXPECT_EQ(unknown.get().error().code, ErrorCode::kNotFound);
}

TEST_F(AModelManager, SwapsBesideTheOldModelWhenBothFit) {
  start_and_wait();
  Listener listener;
  on_io([&] { models().add_observer(listener); });
  EXPECT_TRUE(swap("b"));
  EXPECT_EQ(active(), "b");
  EXPECT_THAT(resident(), ElementsAre("b"));
  on_io([&] { models().remove_observer(listener); });
  EXPECT_THAT(listener.events, ElementsAre("added swap b", "active b", "done swap b"));
}

TEST_F(AModelManager, LetsRunningRequestsFinishOnTheOldModelBeforeItGoes) {
  engine_.automatic = false;
  start_and_wait();
  auto running = submit_one(40);
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  const JobId job = on_io([this] { return models().swap("b", DrainPolicy::kDrain, {}).value(); });
  ASSERT_TRUE(wait_until([this] { return models().find_model("a")->state == ModelState::kUnloading; }));
  EXPECT_EQ(active(), "b") << "new requests go to the new one already";
  on_engine([](FakeEngine& engine) { engine.step(100); });
  EXPECT_EQ(last_word(running.get().value()).reason, FinishReason::stop);
  EXPECT_TRUE(do_job(job));
  EXPECT_THAT(resident(), ElementsAre("b"));
}

TEST_F(AModelManager, PausesRunningRequestsAndBringsTheirModelBackForThem) {
  engine_.automatic = false;
  start_and_wait();
  auto running = submit_one(40);
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  on_engine([](FakeEngine& engine) { engine.step(3); });
  EXPECT_TRUE(swap("large", DrainPolicy::kPause));
  // The paused request is not lost: its model is loaded for it again.
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1 && engine_.submitted.size() == 2; }));
  on_engine([](FakeEngine& engine) { engine.step(100); });
  EXPECT_THAT(tokens_of(running.get().value()), ElementsAre(40, 41, 42, 43, 44, 45, 46, 47, 48, 256));
}

TEST_F(AModelManager, TellsTheRequestsOfAModelThatAnAdministratorUnloaded) {
  engine_.automatic = false;
  start_and_wait();
  auto running = submit_one(40);
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  EXPECT_TRUE(unload("a", DrainPolicy::kPause));
  const auto events = running.get().value();
  EXPECT_EQ(last_word(events).error_code, "unavailable");
  EXPECT_THAT(last_word(events).error_message, HasSubstr("was unloaded"));
  EXPECT_THAT(resident(), IsEmpty());
}

TEST_F(AModelManager, BringsTheOldModelBackWhenTheNewOneFails) {
  start_and_wait();
  on_engine([](FakeEngine& engine) { engine.memory = 95; });
  on_io([this] { engine_.next_failure_after_room = true; });
  EXPECT_FALSE(swap("large"));
  ASSERT_TRUE(wait_until([this] { return models().find_model("a")->state == ModelState::kLoaded; }));
  EXPECT_EQ(active(), "a");
  EXPECT_THAT(ask_for(5, ""), ElementsAre(5, 6, 7));
}

TEST_F(AModelManager, CancelsALoad) {
  start_and_wait();
  on_engine([](FakeEngine& engine) { engine.load_by_itself = false; });
  const JobId job = on_io([this] { return models().load("b", {}).value(); });
  ASSERT_TRUE(wait_until([this] { return models().jobs().back().bytes_done == 1; }));
  EXPECT_EQ(on_io([&] { return models().find_job(job)->fraction(); }), 0.25);
  EXPECT_TRUE(on_io([&] { return models().cancel(job); }));
  EXPECT_EQ(do_job(job).error().code, ErrorCode::kCancelled);
  EXPECT_EQ(state_of("b"), ModelState::kAvailable);
  EXPECT_FALSE(on_io([&] { return models().cancel(job); })) << "it has ended";
}

TEST_F(AModelManager, CancelsAJobThatWaitsForAnother) {
  start_and_wait();
  on_engine([](FakeEngine& engine) { engine.load_by_itself = false; });
  on_io([this] { return models().load("b", {}).value(); });
  ASSERT_TRUE(wait_until([this] { return models().jobs().back().bytes_done == 1; }));
  const JobId waiting = on_io([this] { return models().unload("a", DrainPolicy::kDrain, {}).value(); });
  EXPECT_TRUE(on_io([&] { return models().cancel(waiting); }));
  on_engine([](FakeEngine& engine) { engine.finish_load(); });
  ASSERT_TRUE(wait_until([this] { return models().find_model("b")->state == ModelState::kLoaded; }));
  EXPECT_THAT(resident(), UnorderedElementsAre("a", "b"));
}

TEST_F(AModelManager, BringsEveryResidentModelBackAfterADeath) {
  start_and_wait();
  EXPECT_TRUE(load("b"));
  on_engine([](FakeEngine& engine) { engine.die(); });
  ASSERT_TRUE(wait_until([this] { return engine_.n_launched == 2 && engine_.resident().size() == 2; }));
  EXPECT_THAT(ask_for(5, "b"), ElementsAre(5, 6, 7));
}

TEST_F(AModelManager, GoesOnWithALoadDuringWhichTheEngineDied) {
  start_and_wait();
  on_engine([](FakeEngine& engine) { engine.load_by_itself = false; });
  const JobId job = on_io([this] { return models().load("b", {}).value(); });
  ASSERT_TRUE(wait_until([this] { return models().find_model("b")->state == ModelState::kLoading; }));
  on_engine([](FakeEngine& engine) {
    engine.load_by_itself = true;
    engine.die();
  });
  EXPECT_TRUE(do_job(job));
  EXPECT_THAT(resident(), UnorderedElementsAre("a", "b"));
}

TEST_F(AModelManager, UnloadsWhatNobodyUses) {
  plane_.config.models.list[1].time_to_live = 50ms;
  start_and_wait();
  EXPECT_TRUE(load("b"));
  ASSERT_TRUE(wait_until([this] { return models().find_model("b")->state == ModelState::kAvailable; }));
  EXPECT_THAT(resident(), ElementsAre("a"));
}

TEST_F(AModelManager, FindsNewModelsWhenItLooksAgain) {
  start_and_wait();
  on_io([this] {
    plane_.config.models.list.push_back({.path = "c.gguf"});
    plane_.config.models.list.erase(plane_.config.models.list.begin() + 1);
  });
  EXPECT_TRUE(do_job(on_io([this] { return models().rescan({}); })));
  EXPECT_TRUE(on_io([this] { return models().find_model("c") != nullptr; }));
  EXPECT_TRUE(on_io([this] { return models().find_model("b") == nullptr; }));
  EXPECT_THAT(ask_for(5, "c"), ElementsAre(5, 6, 7));
}

TEST_F(AModelManager, SwapsAThousandTimesUnderLoadWithoutLosingAnAnswer) {
  plane_.config.limits.max_requests = 64;
  start_and_wait();
  std::vector<Answer> answers;
  for (int i = 0; i < 1000; ++i) {
    for (const char* model : {"a", "b", ""}) {
      if (i % 10 == 0) answers.push_back(submit_one(40, 100, model));
    }
    ASSERT_TRUE(swap(i % 2 == 0 ? "b" : "a"));
  }
  for (Answer& answer : answers)
    EXPECT_THAT(tokens_of(answer.get().value()), ElementsAre(40, 41, 42, 43, 44, 45, 46, 47, 48, 256));
  EXPECT_LE(on_io([this] { return models().jobs().size(); }), 70U) << "ended jobs are forgotten";
}

}  // namespace
}  // namespace halod

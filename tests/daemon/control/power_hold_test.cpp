#include "daemon/control/power_hold.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/daemon/support/control_plane_fixture.h"

namespace halod {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

/// Remembers what it was asked for.
class RecordingHolder : public PowerProfileHolder {
 public:
  void hold(const std::string& profile) override { calls.push_back("hold " + profile); }
  void release() override { calls.emplace_back("release"); }
  std::vector<std::string> calls;
};

/// Profile "performance"; released in the moment of idleness unless a test says otherwise.
class APowerHold : public ::testing::Test {
 protected:
  void on_busy(bool busy) {
    thread_.call([&] { hold_.on_busy(busy); });
  }
  void reload(const std::string& profile, std::chrono::milliseconds release_after) {
    thread_.call([&] {
      config_ = {.hold_profile = profile, .release_after = release_after};
      hold_.config_changed();
    });
  }
  std::vector<std::string> calls() {
    return thread_.call([this] { return recorder_.calls; });
  }

  PowerConfig config_{.hold_profile = "performance", .release_after = 0ms};
  RecordingHolder recorder_;
  IoThread thread_;
  PowerHold hold_{{.executor = thread_.io().get_executor(), .config = config_, .holder = recorder_}};
};

TEST_F(APowerHold, HoldsTheProfileOnceASpellOfWork) {
  EXPECT_THAT(calls(), IsEmpty());
  for (int i = 0; i < 2; ++i) {
    on_busy(true);
    on_busy(true);
    on_busy(false);
  }
  EXPECT_THAT(calls(), ElementsAre("hold performance", "release", "hold performance", "release"));
}

TEST_F(APowerHold, LetsTheProfileGoOnlyAfterItWasIdleForLongEnough) {
  config_.release_after = 30ms;
  const auto start = std::chrono::steady_clock::now();
  on_busy(true);
  on_busy(false);
  EXPECT_TRUE(thread_.wait_until([this] { return recorder_.calls.size() == 2; }));
  EXPECT_GE(std::chrono::steady_clock::now() - start, 30ms);
  EXPECT_THAT(calls(), ElementsAre("hold performance", "release"));
}

TEST_F(APowerHold, GoesOnHoldingWhenWorkComesBeforeThat) {
  config_.release_after = 1h;
  for (int i = 0; i < 3; ++i) {
    on_busy(true);
    on_busy(false);
  }
  EXPECT_THAT(calls(), ElementsAre("hold performance"));
}

TEST_F(APowerHold, AsksForNothingWhenItIsOff) {
  config_.hold_profile = "off";
  on_busy(true);
  on_busy(false);
  EXPECT_THAT(calls(), IsEmpty());
}

TEST_F(APowerHold, FollowsAReload) {
  config_.hold_profile = "off";
  on_busy(true);
  reload("performance", 1h);
  EXPECT_THAT(calls(), ElementsAre("hold performance")) << "in the middle of work";
  reload("off", 1h);
  EXPECT_THAT(calls(), ElementsAre("hold performance", "release"));
  reload("performance", 1h);
  on_busy(false);
  EXPECT_THAT(calls(), ElementsAre("hold performance", "release", "hold performance"));
  reload("performance", 0ms);
  EXPECT_THAT(calls(), ElementsAre("hold performance", "release", "hold performance", "release"))
      << "it has been idle for the new time already";
}

TEST_F(APowerHold, ReleasesWhenHalodStopsWhateverItStillDoes) {
  config_.release_after = 1h;
  on_busy(true);
  thread_.call([this] { hold_.stop(); });
  EXPECT_THAT(calls(), ElementsAre("hold performance", "release"));
  on_busy(false);
  on_busy(true);
  EXPECT_THAT(calls(), ElementsAre("hold performance", "release"));
}

/// Notes each change.
class BusyListener : public ControlObserver {
 public:
  void on_busy(bool busy) override { changes.push_back(busy); }
  std::vector<bool> changes;
};

/// Whether there is work, as the ModelManager tells it.
class TheControlPlane : public AControlPlane {
 protected:
  void start_and_listen() {
    start_and_wait();
    ASSERT_TRUE(wait_until([this] { return models().jobs().back().ended(); }));
    on_io([this] { models().add_observer(listener_); });
  }
  void TearDown() override {
    on_io([this] { models().remove_observer(listener_); });
  }
  std::vector<bool> changes() {
    return on_io([this] { return listener_.changes; });
  }
  BusyListener listener_;
};

TEST_F(TheControlPlane, IsBusyFromTheFirstRequestToTheEndOfTheLast) {
  start_and_listen();
  on_engine([](FakeEngine& engine) { engine.automatic = false; });
  Answer first = submit_one(1, 3), second = submit_one(2, 3);
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 2; }));
  EXPECT_THAT(changes(), ElementsAre(true));
  on_io([this] { engine_.step(3, engine_.submitted.front().request_id); });
  ASSERT_TRUE(first.get());
  EXPECT_THAT(changes(), ElementsAre(true)) << "one is unfinished";
  on_io([this] { engine_.step(3); });
  ASSERT_TRUE(second.get());
  EXPECT_THAT(changes(), ElementsAre(true, false));
}

TEST_F(TheControlPlane, IsBusyWhileAJobRunsAndWhenTheEngineDiesWithARequest) {
  start_and_listen();
  on_io([this] { (void)models().rescan({}); });
  ASSERT_TRUE(wait_until([this] { return listener_.changes.size() == 2; }));
  EXPECT_THAT(changes(), ElementsAre(true, false));
  on_engine([](FakeEngine& engine) { engine.automatic = false; });
  Answer answer = submit_one(1, 3);
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  on_io([this] { engine_.die(); });
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; })) << "resubmitted";
  EXPECT_THAT(changes(), ElementsAre(true, false, true));
  on_io([this] { engine_.step(3); });
  ASSERT_TRUE(answer.get());
  EXPECT_THAT(changes(), ElementsAre(true, false, true, false));
}

}  // namespace
}  // namespace halod

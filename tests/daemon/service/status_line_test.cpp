#include "daemon/service/status_line.h"

#include <gtest/gtest.h>

namespace halod {
namespace {

using namespace std::chrono_literals;

Readiness ready() { return {ServiceState::kReady, "ready", 100}; }

TEST(TheStatusLine, SaysWhatIsServedWhatRunsAndHowFast) {
  EXPECT_EQ(status_line({.readiness = ready(),
                         .active_model = "qwen3-coder-30b",
                         .loaded = {"qwen3-coder-30b"},
                         .n_running = 2,
                         .tokens_per_second = 34.12}),
            "serving qwen3-coder-30b, 2 running, 34.1 tok/s");
}

TEST(TheStatusLine, SaysIdleInsteadOfZeros) {
  EXPECT_EQ(status_line({.readiness = ready(), .loaded = {"demo", "other"}, .tokens_per_second = 3}),
            "serving demo, other, idle");
}

TEST(TheStatusLine, CountsThoseThatWaitAndLeavesOutASpeedOfNothing) {
  EXPECT_EQ(status_line({.readiness = ready(), .loaded = {"demo"}, .n_running = 8, .n_waiting = 3}),
            "serving demo, 8 running, 3 waiting");
}

TEST(TheStatusLine, ShowsHowFarLoadingIs) {
  const Readiness loading{ServiceState::kLoading, "the model is being loaded: 45 %", 45};
  EXPECT_EQ(status_line({.readiness = loading, .active_model = "demo", .job = "load demo: weights 45 %"}),
            "loading demo: 45 %");
}

TEST(TheStatusLine, ShowsAJobBesideWhatIsServed) {
  EXPECT_EQ(status_line({.readiness = ready(), .loaded = {"demo"}, .job = "swap qwen: weights 7 %"}),
            "serving demo, idle; swap qwen: weights 7 %");
}

TEST(TheStatusLine, SaysThatNoModelIsLoaded) {
  EXPECT_EQ(status_line({.readiness = {ServiceState::kReady, "ready; no model is loaded", 0}}),
            "ready; no model is loaded");
}

TEST(TheStatusLine, TellsWhyTheEngineIsRestarted) {
  const std::string reason = "the engine was killed by signal 9 (Killed) and is being restarted";
  EXPECT_EQ(status_line({.readiness = {ServiceState::kRestarting, reason, 0}, .active_model = "demo"}),
            reason);
}

TEST(TheStatusLine, IsOneLineWhateverAModelOrAMessageIsCalled) {
  // A second line would be another assignment in the eyes of systemd.
  const std::string line =
      status_line({.readiness = ready(), .loaded = {"de\nmo"}, .note = "wrong:\nWATCHDOG=trigger"});
  EXPECT_EQ(line, "serving de mo, idle; wrong: WATCHDOG=trigger");
}

TEST(TheWatchdog, IsFedWhileTheEngineWasHeardOfOrIsBeingReplaced) {
  EXPECT_TRUE(engine_is_looked_after(true, 0s, 2min));
  EXPECT_TRUE(engine_is_looked_after(true, 239s, 2min));
  EXPECT_FALSE(engine_is_looked_after(true, 4min, 2min));
  EXPECT_TRUE(engine_is_looked_after(false, 1h, 2min));
}

}  // namespace
}  // namespace halod

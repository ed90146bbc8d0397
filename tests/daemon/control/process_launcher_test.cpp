#include "daemon/control/process_launcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>

#include "daemon/control/engine_supervisor.h"
#include "tests/daemon/support/io_thread.h"

namespace halod {
namespace {

namespace asio = boost::asio;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

class AnEngineProcess : public ::testing::Test {
 protected:
  ~AnEngineProcess() override { thread_.stop(); }

  void start(const std::string& model) {
    EngineConfig config;
    config.restart_delay_min = 1ms;
    config.restart_delay_max = 1ms;
    thread_.call([&] {
      supervisor_ =
          std::make_unique<EngineSupervisor>(EngineSupervisor::Setup{.executor = thread_.io().get_executor(),
                                                                     .launcher = launcher_,
                                                                     .metrics = metrics_,
                                                                     .config = config,
                                                                     .max_requests = 4,
                                                                     .model = {.path = model}});
    });
    ran_ = asio::co_spawn(thread_.io(), supervisor_->run(), asio::use_future);
  }
  bool wait_until_ready() {
    return thread_.wait_until([this] { return supervisor_->readiness().ready(); });
  }
  pid_t pid() {
    return thread_.call([this] { return static_cast<pid_t>(supervisor_->engine_pid()); });
  }

  Metrics metrics_;
  IoThread thread_;
  ProcessLauncher launcher_{thread_.io().get_executor(), HALOD_FAKE_ENGINE};
  std::unique_ptr<EngineSupervisor> supervisor_;
  std::future<Result<>> ran_;
};

TEST_F(AnEngineProcess, GetsItsSocketAndNothingElseOfOurs) {
  start("any");
  ASSERT_TRUE(wait_until_ready());
  EXPECT_EQ(thread_.call([this] { return supervisor_->model()->architecture; }), "clean");
  EXPECT_EQ(::getpgid(pid()), pid()) << "Ctrl-C must not reach the engine";
}

TEST_F(AnEngineProcess, IsReplacedWhenItIsKilled) {
  start("any");
  ASSERT_TRUE(wait_until_ready());
  const pid_t first = pid();
  ASSERT_EQ(::kill(first, SIGKILL), 0);
  EXPECT_TRUE(thread_.wait_until(
      [&] { return supervisor_->readiness().ready() && supervisor_->engine_pid() != first; }));
  EXPECT_EQ(::kill(first, 0), -1) << "the dead one must be reaped";
}

TEST_F(AnEngineProcess, IsToldToStopAndReaped) {
  start("any");
  ASSERT_TRUE(wait_until_ready());
  const pid_t engine = pid();
  asio::co_spawn(thread_.io(), supervisor_->shutdown(1s), asio::use_future).get();
  EXPECT_TRUE(ran_.get());
  EXPECT_EQ(::kill(engine, 0), -1);
}

TEST_F(AnEngineProcess, IsKilledWhenItDoesNotStop) {
  start("hang");
  ASSERT_TRUE(thread_.wait_until([this] { return supervisor_->readiness().state == EngineState::kLoading; }));
  const pid_t engine = pid();
  asio::co_spawn(thread_.io(), supervisor_->shutdown(1ms), asio::use_future).get();
  EXPECT_TRUE(ran_.get());
  EXPECT_EQ(::kill(engine, 0), -1);
}

TEST_F(AnEngineProcess, IsGivenUpWhenItNeverGetsReady) {
  start("exit 7");
  const Result<> result = ran_.get();
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message,
              HasSubstr("ended 5 times before the model was loaded; the last one exited with status 7"));
}

TEST(AProcessLauncher, SaysWhichProgramIsMissing) {
  asio::io_context io;
  ProcessLauncher launcher(io.get_executor(), "/nonexistent/halo-engine");
  const auto launched = launcher.launch();
  ASSERT_FALSE(launched);
  EXPECT_THAT(launched.error().message, HasSubstr("/nonexistent/halo-engine: No such file"));
  EXPECT_THAT(find_engine_binary("/nonexistent/halo-engine").error().message, HasSubstr("set engine.binary"));
}

}  // namespace
}  // namespace halod

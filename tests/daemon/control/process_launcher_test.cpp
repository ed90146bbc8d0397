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

/// Has the engine load, and remembers what it says.
class Recorder : public EngineEvents {
 public:
  explicit Recorder(std::string script) : script_(std::move(script)) {}
  void on_engine_started() override {
    started = true;
    supervisor->send(wire::encode(wire::FrameType::kLoad, wire::LoadModel{.path = script_}));
  }
  Result<> on_engine_frame(const wire::Frame& frame) override {
    if (frame.type == wire::FrameType::kLoaded) {
      loaded = wire::decode<wire::ModelLoaded>(frame).value();
      supervisor->worked();
    }
    return {};
  }
  void on_engine_ended(const std::string& how, bool innocent) override {
    started = false;
    loaded.reset();
    ended_how = how;
    was_innocent = innocent;
  }

  EngineSupervisor* supervisor = nullptr;
  bool started = false;
  std::optional<wire::ModelLoaded> loaded;
  std::string ended_how;
  bool was_innocent = false;

 private:
  std::string script_;
};

class AnEngineProcess : public ::testing::Test {
 protected:
  ~AnEngineProcess() override { thread_.stop(); }

  void start(const std::string& script) {
    EngineConfig config;
    config.restart_delay_min = 1ms;
    config.restart_delay_max = 1ms;
    thread_.call([&] {
      recorder_ = std::make_unique<Recorder>(script);
      supervisor_ =
          std::make_unique<EngineSupervisor>(EngineSupervisor::Setup{.executor = thread_.io().get_executor(),
                                                                     .launcher = launcher_,
                                                                     .metrics = metrics_,
                                                                     .config = config,
                                                                     .events = *recorder_});
      recorder_->supervisor = supervisor_.get();
    });
    ran_ = asio::co_spawn(thread_.io(), supervisor_->run(), asio::use_future);
  }
  bool wait_until_loaded() {
    return thread_.wait_until([this] { return recorder_->loaded.has_value(); });
  }
  void stop() { asio::co_spawn(thread_.io(), supervisor_->stop(), asio::use_future).get(); }
  pid_t pid() {
    return thread_.call([this] { return static_cast<pid_t>(supervisor_->engine_pid()); });
  }
  /// Ends the engine from outside and waits for the next one.
  void replace(int signal) {
    const pid_t first = pid();
    ASSERT_EQ(::kill(first, signal), 0);
    ASSERT_TRUE(thread_.wait_until([&] { return recorder_->loaded && supervisor_->engine_pid() != first; }));
    EXPECT_EQ(::kill(first, 0), -1) << "the dead one must be reaped";
  }

  Metrics metrics_;
  IoThread thread_;
  ProcessLauncher launcher_{thread_.io().get_executor(), HALOD_FAKE_ENGINE};
  std::unique_ptr<Recorder> recorder_;
  std::unique_ptr<EngineSupervisor> supervisor_;
  std::future<Result<>> ran_;
};

TEST_F(AnEngineProcess, GetsItsSocketAndNothingElseOfOurs) {
  start("any");
  ASSERT_TRUE(wait_until_loaded());
  EXPECT_EQ(thread_.call([this] { return recorder_->loaded->architecture; }), "clean");
  EXPECT_EQ(::getpgid(pid()), pid()) << "Ctrl-C must not reach the engine";
}

TEST_F(AnEngineProcess, IsReplacedWhenItDies) {
  start("any");
  ASSERT_TRUE(wait_until_loaded());
  replace(SIGKILL);
  EXPECT_TRUE(thread_.call([this] { return recorder_->was_innocent; })) << "somebody killed it";
  replace(SIGABRT);
  EXPECT_FALSE(thread_.call([this] { return recorder_->was_innocent; })) << "that it did itself";
  EXPECT_THAT(recorder_->ended_how, HasSubstr("signal 6"));
}

TEST_F(AnEngineProcess, IsToldToStopAndReaped) {
  start("any");
  ASSERT_TRUE(wait_until_loaded());
  const pid_t engine = pid();
  stop();
  EXPECT_TRUE(ran_.get());
  EXPECT_EQ(::kill(engine, 0), -1);
}

TEST_F(AnEngineProcess, IsKilledWhenItDoesNotStop) {
  start("hang");
  ASSERT_TRUE(thread_.wait_until([this] { return recorder_->started; }));
  const pid_t engine = pid();
  stop();
  EXPECT_TRUE(ran_.get());
  EXPECT_EQ(::kill(engine, 0), -1);
}

TEST_F(AnEngineProcess, IsGivenUpWhenItNeverLoadsAModel) {
  start("exit 7");
  const Result<> result = ran_.get();
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message,
              HasSubstr("ended 5 times before a model was loaded; the last one exited with status 7"));
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

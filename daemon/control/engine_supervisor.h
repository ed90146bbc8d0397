// Keeps one engine process alive.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "base/error.h"
#include "daemon/config/config.h"
#include "daemon/control/engine_launcher.h"
#include "daemon/control/engine_link.h"
#include "daemon/control/metrics.h"
#include "runtime/engine/wire.h"

namespace halod {

/// Who is told what the engine does. Thread: the io thread.
class EngineEvents {
 public:
  virtual ~EngineEvents() = default;
  /// It said hello and takes frames.
  virtual void on_engine_started() = 0;
  /// Any other frame of it. An error means that the engine cannot be trusted any more, and ends it.
  virtual Result<> on_engine_frame(const wire::Frame& frame) = 0;
  /// It is gone, and will be started again. `how`: "was killed by signal 9 (Killed)". `innocent`: somebody
  /// else killed it, so that what it ran is not to blame.
  virtual void on_engine_ended(const std::string& how, bool innocent) = 0;
};

/// Starts the engine, watches it, and starts it again, later each time, when it died or hangs. Thread: the io
/// thread; everything that Setup refers to outlives this.
class EngineSupervisor {
 public:
  struct Setup {
    boost::asio::any_io_executor executor;
    EngineLauncher& launcher;
    Metrics& metrics;
    EngineConfig config;
    EngineEvents& events;
  };
  explicit EngineSupervisor(Setup setup);

  /// Runs until stop() has ended it. Call once.
  /// Errors: the engine cannot be started, or died so often that it never will do its work, and nobody called
  /// worked() yet. Afterwards it is tried for ever.
  boost::asio::awaitable<Result<>> run();
  /// The engine has done something useful: the delays start afresh when it lives on, and run() gives up no
  /// more.
  void worked();
  /// Ends the engine and with it run(). Returns when that is done.
  boost::asio::awaitable<void> stop();

  /// Sends a frame; does nothing when there is no engine (on_engine_ended was or will be called).
  void send(std::string frame);
  /// The engine's, 0 when there is none.
  int64_t engine_pid() const { return process_ ? process_->pid() : 0; }
  /// Since the engine said anything; the watchdog wants to know.
  std::chrono::steady_clock::duration silence() const {
    return std::chrono::steady_clock::now() - last_heard_;
  }
  const EngineConfig& config() const { return setup_.config; }

 private:
  boost::asio::awaitable<Result<>> run_engine();
  boost::asio::awaitable<Error> read_frames();
  boost::asio::awaitable<Error> watch_heartbeat();
  boost::asio::awaitable<void> back_off();
  Result<> handle(const wire::Frame& frame);
  void log_end(int64_t pid, const ProcessEnd& end, const Error& reason) const;
  Result<> engine_ended(const Error& reason, const ProcessEnd& end);

  Setup setup_;
  std::unique_ptr<EngineProcess> process_;
  std::shared_ptr<EngineLink> link_;
  bool said_hello_ = false;
  bool ever_worked_ = false;
  std::chrono::steady_clock::time_point worked_since_{};
  std::chrono::steady_clock::time_point last_heard_{};
  uint32_t n_deaths_in_a_row_ = 0;
  bool stopping_ = false;
  bool running_ = false;
  boost::asio::steady_timer delay_;      // between two engines; cancelled by stop()
  boost::asio::steady_timer run_ended_;  // cancelled when run() returns
};

}  // namespace halod

// Tells systemd how halod is, sd_notify(3): readiness, a status line, signs of life.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <string>

#include "base/error.h"
#include "daemon/control/control_observer.h"
#include "daemon/control/engine_supervisor.h"
#include "daemon/control/model_manager.h"

namespace halod {

/// Does nothing where no service manager listens (NOTIFY_SOCKET is not set). Thread: the io thread; what
/// Setup refers to outlives this.
class ServiceNotifier : public ControlObserver {
 public:
  struct Setup {
    boost::asio::any_io_executor executor;
    const ModelManager& models;
    const EngineSupervisor& engine;
  };
  explicit ServiceNotifier(Setup setup);

  /// Begins to feed the watchdog, if there is one.
  void start();
  void reload_begins();
  /// `result`: an error stays in the status line until a reload succeeds.
  void reload_ended(const Result<>& result);
  /// halod is about to end within `timeout`; `why` is the last status line.
  void stopping(std::chrono::milliseconds timeout, std::string why);

  // -- ControlObserver
  void on_readiness(const Readiness& readiness) override;
  void on_active_model(const Model* model) override;
  void on_job_changed(const Job& job) override;
  void on_job_ended(const Job& job) override;
  void on_heartbeat() override;

 private:
  void status_changed();
  void send_status();
  void send(const std::string& message);
  std::string current_status();
  void feed_watchdog();

  Setup setup_;
  bool enabled_;
  bool announced_ = false;   // READY=1 was sent
  bool stopping_ = false;    // STOPPING=1 was sent: nothing but signs of life is
  bool reloading_ = false;   // RELOADING=1 was sent, and READY=1 not again yet
  bool progressed_ = false;  // since the start timeout was extended last
  bool was_looked_after_ = true;
  std::string note_;
  std::string last_status_;
  std::chrono::steady_clock::time_point last_status_at_{};
  bool status_timer_runs_ = false;
  boost::asio::steady_timer status_timer_;
  std::chrono::microseconds watchdog_interval_{0};
  boost::asio::steady_timer watchdog_timer_;
};

}  // namespace halod

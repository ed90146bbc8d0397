// halod on D-Bus: stays connected, and tells the bus what changes.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "daemon/config/config.h"
#include "daemon/control/control_observer.h"
#include "daemon/control/machine_status.h"
#include "daemon/control/metrics.h"
#include "daemon/control/model_manager.h"
#include "daemon/control/service_control.h"
#include "daemon/control/signal.h"
#include "daemon/control/worker_pool.h"

namespace halod {

class BusSession;

enum class BusKind : uint8_t { kNone, kSystem, kSession };
/// What dbus.bus means here: "auto" is the system bus for a service of the system's systemd, the session bus
/// for one of a user's systemd, and none for a program that somebody started by hand: it would not be allowed
/// the name anyway. `environment` is getenv(3) or a test's; `pid` this process. Thread: any.
BusKind choose_bus(const DBusConfig& config, const std::function<const char*(const char*)>& environment,
                   int pid);

/// Everything that it answers comes from daemon/control. A bus that is not there, goes away, or refuses the
/// name is told in the log and disturbs nothing else. Thread: the io thread; everything that Setup refers to
/// outlives this.
class DBusService : public ControlObserver {
 public:
  struct Setup {
    boost::asio::any_io_executor executor;
    ModelManager& models;
    ServiceControl& service;
    MachineStatus& machine;
    WorkerPool& workers;
    const Metrics& metrics;
    const Config& config;
    std::string version;
  };
  explicit DBusService(Setup setup);
  ~DBusService() override;

  /// Connects, and connects again when the bus was lost, until stop(), or until the name is refused. Call
  /// once.
  boost::asio::awaitable<void> run(std::string http_endpoint);
  void stop();
  /// ServiceControl::power() is another one.
  void power_changed();

  // -- ControlObserver
  void on_readiness(const Readiness& readiness) override;
  void on_model_added(const Model& model) override;
  void on_model_changed(const Model& model) override;
  void on_model_removed(const Model& model) override;
  void on_active_model(const Model* model) override;
  void on_job_added(const Job& job) override;
  void on_job_changed(const Job& job) override;
  void on_job_ended(const Job& job) override;
  void on_heartbeat() override;

 private:
  /// Makes session_. Errors: kUnavailable.
  boost::asio::awaitable<Result<>> connect(BusKind kind, std::string http_endpoint);
  /// Until session_ is refused or lost. Returns whether it ever had the name.
  boost::asio::awaitable<bool> serve(const std::string& bus);

  Setup setup_;
  Signal changed_;
  std::unique_ptr<BusSession> session_;  // while there is a connection
  bool told_of_loss_ = false;
  bool stopping_ = false;
};

}  // namespace halod

// halod, put together. What each part does stands in its own header.
#pragma once

#include <sys/types.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "daemon/config/config.h"
#include "daemon/control/control_observer.h"
#include "daemon/control/engine_supervisor.h"
#include "daemon/control/machine_status.h"
#include "daemon/control/metrics.h"
#include "daemon/control/model_manager.h"
#include "daemon/control/power_hold.h"
#include "daemon/control/process_launcher.h"
#include "daemon/control/request_dispatcher.h"
#include "daemon/control/service_control.h"
#include "daemon/control/worker_pool.h"
#include "daemon/dbus/dbus_service.h"
#include "daemon/dbus/power_profile.h"
#include "daemon/http/router.h"
#include "daemon/http/server.h"
#include "daemon/service/clock_watch.h"
#include "daemon/service/command_line.h"
#include "daemon/service/service_notifier.h"

namespace halod {

/// Everything that runs on the io thread. Thread: the one that constructs it and calls run().
class Daemon : private ServiceControl, private ControlObserver {
 public:
  /// Throws ErrorException when a program or file that is needed is not there.
  explicit Daemon(CommandLine command_line);

  /// Serves until a signal, or until there turns out to be nothing to serve. Returns the exit status.
  int run();

 private:
  // -- ServiceControl
  Result<> reload() override;
  Result<> set_log_level(const std::string& level) override;
  std::string log_level() const override { return config_.log.level; }
  PowerStatus power() const override;

  // -- ControlObserver
  void on_readiness(const Readiness& readiness) override;

  boost::asio::awaitable<void> run_engine();
  boost::asio::awaitable<void> run_models();
  boost::asio::awaitable<void> fail(Error error);
  /// `why`: the last words to the service manager.
  boost::asio::awaitable<void> stop(std::string why);
  /// Listens where the service manager does already, else at http.listen. Returns the address, its port
  /// known.
  ListenAddress listen();
  Result<> read_config_again();
  void wait_for_end();
  void wait_for_reload();

  // In order of who needs whom: later members use earlier ones.
  CommandLine command_line_;
  Config config_;
  boost::asio::io_context io_{1};
  Metrics metrics_;
  ProcessLauncher launcher_;
  WorkerPool workers_;
  MachineStatus machine_;
  RequestDispatcher dispatcher_;
  ModelManager models_;
  EngineSupervisor engine_;
  ServiceNotifier notifier_;
  ClockWatch clock_watch_;
  Router router_;
  Server server_;
  DBusService dbus_;
  PowerProfile power_profile_;
  PowerHold power_hold_;
  boost::asio::signal_set end_signals_;
  boost::asio::signal_set reload_signals_;
  std::string url_;
  bool announced_ = false;
  bool stopping_ = false;
  int exit_status_ = 0;
};

}  // namespace halod

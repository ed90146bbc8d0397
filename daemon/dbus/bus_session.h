// One connection to the bus, from when it is open to when it is lost: the objects on it and halod's name.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "daemon/control/control_observer.h"
#include "daemon/dbus/asio_bridge.h"
#include "daemon/dbus/authorizer.h"
#include "daemon/dbus/bus_calls.h"
#include "daemon/dbus/job_object.h"
#include "daemon/dbus/manager_object.h"
#include "daemon/dbus/model_object.h"

namespace halod {

/// Publishes what there is at once, and then asks for the name, so that whoever sees the name finds the
/// objects. Thread: the io thread.
class BusSession : public ControlObserver {
 public:
  enum class State : uint8_t {
    kAsking,   ///< for the name
    kServing,  ///< it is ours
    kRefused,  ///< it is another one's, or the bus' policy does not let us have it
    kLost,     ///< the bus has gone
  };
  struct Setup {
    boost::asio::any_io_executor executor;
    ModelManager& models;
    ServiceControl& service;
    MachineStatus& machine;
    const Metrics& metrics;
    std::string version;
    std::vector<std::string> http_endpoints;
    std::function<void()> state_changed;  ///< not from within a call of this class
  };
  /// Throws sdbus::Error when the connection is lost already.
  BusSession(std::unique_ptr<sdbus::IConnection> connection, Setup setup);
  ~BusSession() override;
  BusSession(const BusSession&) = delete;
  BusSession& operator=(const BusSession&) = delete;

  State state() const { return state_; }
  /// Why it is refused or lost.
  const std::string& reason() const { return reason_; }

  /// ServiceControl::power() is another one.
  void power_changed();

  // -- ControlObserver: tells the bus.
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
  template <class Tell>
  void tell_bus(Tell tell);
  void ask_for_name();
  void set_state(State state, std::string reason);
  void add(const Model& model, bool announce);
  void remove(ModelId id);
  void publish_manager();
  void publish_later();
  void forget_old_jobs();

  Setup setup_;
  // In the order of who needs whom: the connection goes last.
  std::unique_ptr<sdbus::IConnection> connection_;
  std::shared_ptr<AsioBridge> bridge_;
  std::unique_ptr<sdbus::IProxy> bus_;
  Authorizer authorizer_;
  ModelPaths paths_;
  BusContext context_;
  std::unique_ptr<ManagerObject> manager_;
  std::map<ModelId, std::unique_ptr<ModelObject>> models_;
  std::map<JobId, std::unique_ptr<JobObject>> jobs_;
  boost::asio::steady_timer publish_timer_;
  bool publish_is_due_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // as long as this
  State state_ = State::kAsking;
  std::string reason_;
};

}  // namespace halod

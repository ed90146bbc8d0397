// How a method that changes something is answered.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/dbus/sdbus_compat.h"
#include "base/error.h"
#include "daemon/control/machine_status.h"
#include "daemon/control/metrics.h"
#include "daemon/control/model_manager.h"
#include "daemon/control/service_control.h"
#include "daemon/dbus/authorizer.h"
#include "daemon/dbus/bus_paths.h"

namespace halod {

/// What the objects of one connection share; everything referred to outlives them. Thread: the io thread.
struct BusContext {
  ModelManager& models;
  ServiceControl& service;
  MachineStatus& machine;
  const Metrics& metrics;
  Authorizer& authorizer;
  ModelPaths& paths;
  std::string version;
  std::vector<std::string> http_endpoints;
  /// Called after each successful change, for what nobody else announces (the log level).
  std::function<void()> changed;
};

/// To call in the method, while its message is at hand: checks `action`, then does it, and replies with the
/// job's object or the error. `start` must not refer to the object, which may have gone when polkit answers.
void answer_with_job(const BusContext& context, const sdbus::IObject& object, const std::string& action,
                     sdbus::Result<sdbus::ObjectPath>&& reply,
                     std::function<Result<JobId>(const Requester&)> start);
/// The same for what is done at once.
void answer_when_done(const BusContext& context, const sdbus::IObject& object, const std::string& action,
                      sdbus::Result<>&& reply, std::function<Result<>()> act);

}  // namespace halod

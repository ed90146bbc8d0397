// What halod's objects on the bus say, as the JSON of its HTTP routes.
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "cli/bus/proxies.h"

namespace halod::cli {

using ModelRow = sdbus::Struct<sdbus::ObjectPath, std::string, std::string, uint64_t, Properties>;

// Fields that are missing, or of another type, become empty or 0: an older halod lacks some. Thread: any.

/// A row of Manager.ListModels as one of GET /v1/admin/models.
boost::json::object model_of_bus(const ModelRow& row);
/// A Job's properties as GET /v1/admin/jobs/N.
boost::json::object job_of_bus(const Properties& job);
/// Those of Manager and Stats as GET /health.
boost::json::object health_of_bus(const Properties& manager, const Properties& stats);
/// Those of Memory and Power as GET /v1/admin/machine.
boost::json::object machine_of_bus(const Properties& memory, const Properties& power);
/// Those of Tuning as GET /v1/admin/tuning.
boost::json::object tuning_of_bus(const Properties& tuning);
/// As GET /version; `active` is the active model's row, or nullptr.
boost::json::object version_of_bus(const Properties& manager, const ModelRow* active);

template <class T>
T value_of(const Properties& properties, const std::string& name) {
  const auto found = properties.find(name);
  const bool fits = found != properties.end() && found->second.containsValueOfType<T>();
  return fits ? found->second.get<T>() : T{};
}

}  // namespace halod::cli

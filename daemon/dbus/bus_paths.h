// Where models and jobs are found on the bus.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/dbus/bus_names.h"
#include "daemon/control/ids.h"

namespace halod {

inline constexpr const char* kNoObject = "/";

std::string job_path(JobId id);

/// The paths of models: their names, escaped as sd_bus_path_encode(3) does. Thread: the io thread.
class ModelPaths {
 public:
  /// A name that another model has already (a model that goes while its successor is there) gets "@ID" behind
  /// it.
  std::string add(ModelId id, std::string_view name);
  void remove(ModelId id) { paths_.erase(id); }
  /// kNoObject for one that was not added.
  std::string of(ModelId id) const;

 private:
  std::map<ModelId, std::string> paths_;
};

}  // namespace halod

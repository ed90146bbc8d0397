// Which kernels serve the models that are loaded.
#pragma once

#include <string>
#include <vector>

#include "daemon/control/model_manager.h"
#include "runtime/engine/wire.h"

namespace halod {

struct Tuning {
  std::string backend;  ///< of the active model, or else of the first that is loaded: "cpu"; empty: none is
  std::string device;   ///< for people
  std::string state;    ///< "tuned", "untuned", "partly tuned"; empty: there is nothing to choose from
  std::vector<wire::KernelSelection> selections;  ///< of all loaded models together, sorted, none twice
};

/// Thread: the io thread.
Tuning tuning_of(const ModelManager& models);

}  // namespace halod

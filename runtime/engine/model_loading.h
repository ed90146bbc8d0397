// From a load request to a model that can serve.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "runtime/backend/backend.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/wire.h"
#include "runtime/models/model.h"

namespace halod {

struct LoadedModel {
  std::unique_ptr<Backend> backend;  ///< outlives the model; null only where a test's model needs none
  std::unique_ptr<Model> model;
  std::string backend_name;
  std::string device_name;
  EngineOptions engine_options;
};

/// What the models that are resident already have been promised.
struct ResidentMemory {
  uint64_t promised_bytes = 0;  ///< weights, KV and scratch of all of them, whether touched yet or not
};

/// How an engine gets its models; tests put a fake one here. Called on the engine thread, on which
/// `between_tensors` must be called too.
using ModelFactory =
    std::function<Result<LoadedModel>(const wire::LoadModel&, const ResidentMemory&, const LoadCallbacks&)>;

/// Opens the file, chooses the backend, plans the memory (serving_plan.h) and loads.
/// Errors: those of open_checkpoint, read_model_config, make_backend, plan_serving and load_model.
Result<LoadedModel> load_model_for_serving(const wire::LoadModel& request, const ResidentMemory& residents,
                                           const LoadCallbacks& callbacks);

}  // namespace halod

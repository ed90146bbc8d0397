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

/// How an engine gets its model; tests put a fake one here. Called on the engine thread; the callback must be
/// called on it too.
using ModelFactory = std::function<Result<LoadedModel>(const wire::LoadModel&, const LoadProgressCallback&)>;

/// Opens the file, chooses the backend, plans the memory (serving_plan.h) and loads.
/// Errors: those of GgufFile::open, read_model_config, make_backend, plan_serving and load_model.
Result<LoadedModel> load_model_for_serving(const wire::LoadModel& request,
                                           const LoadProgressCallback& progress);

}  // namespace halod

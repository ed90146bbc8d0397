// Whether a backend can run a model, before anything of it is loaded.
#pragma once

#include "base/error.h"
#include "runtime/backend/backend.h"
#include "runtime/weights/model_config.h"

namespace halod {

/// What the model needs beyond the operations' plain form.
std::vector<ModelFeature> model_features(const ModelConfig& config);

/// Errors: kUnsupported naming the first feature that the backend lacks.
Result<> check_features(const ModelConfig& config, const Backend& backend);

}  // namespace halod

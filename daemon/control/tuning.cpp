#include "daemon/control/tuning.h"

#include <algorithm>

namespace halod {

Tuning tuning_of(const ModelManager& models) {
  Tuning tuning;
  const Model* active = models.active_model();
  for (const auto& model : models.models()) {
    if (!model->loaded) continue;
    if (tuning.backend.empty() || model.get() == active) {
      tuning.backend = model->loaded->backend;
      tuning.device = model->loaded->device;
    }
    tuning.selections.insert(tuning.selections.end(), model->loaded->selections.begin(),
                             model->loaded->selections.end());
  }
  std::ranges::sort(tuning.selections);
  const auto [first, last] = std::ranges::unique(tuning.selections);
  tuning.selections.erase(first, last);
  return tuning;
}

}  // namespace halod

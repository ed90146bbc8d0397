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
  const auto has = [&tuning](std::string_view state) {
    return std::ranges::any_of(tuning.selections, [state](const auto& row) { return row.tuning == state; });
  };
  const bool has_tuned = has("tuned"), has_untuned = has("untuned");
  tuning.state = has_tuned && has_untuned ? "partly tuned"
                 : has_tuned              ? "tuned"
                 : has_untuned            ? "untuned"
                                          : "";
  return tuning;
}

}  // namespace halod

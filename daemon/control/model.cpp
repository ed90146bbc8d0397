#include "daemon/control/model.h"

#include <algorithm>
#include <array>

namespace halod {

std::string_view to_string(ModelState state) {
  constexpr std::array<std::string_view, 5> kNames{"available", "loading", "loaded", "unloading", "failed"};
  return kNames.at(static_cast<size_t>(state));
}

bool Model::answers_to(std::string_view name) const {
  return name == spec.name || std::ranges::find(spec.config.aliases, name) != spec.config.aliases.end();
}

}  // namespace halod

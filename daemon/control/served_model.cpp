#include "daemon/control/served_model.h"

#include <type_traits>

namespace halod {

DefaultsConfig defaults_for(const DefaultsConfig& configured, const SamplingDefaults& of_model) {
  DefaultsConfig defaults = configured;
  if (configured.generation_config == "none") return defaults;
  const auto take = [&](const char* key, const auto& recommended, auto& value) {
    if (recommended && !configured.given.contains(key))
      value = static_cast<std::remove_reference_t<decltype(value)>>(*recommended);
  };
  take("temperature", of_model.temperature, defaults.temperature);
  take("top_p", of_model.top_p, defaults.top_p);
  take("min_p", of_model.min_p, defaults.min_p);
  take("repetition_penalty", of_model.repetition_penalty, defaults.repetition_penalty);
  take("top_k", of_model.top_k, defaults.top_k);
  return defaults;
}

}  // namespace halod

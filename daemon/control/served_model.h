// A model as a request sees it, from its first look to its last token.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "daemon/config/config.h"
#include "daemon/control/ids.h"
#include "daemon/control/request_dispatcher.h"
#include "daemon/control/text_model.h"

namespace halod {

/// The configured defaults, and where nobody wrote any the model's own.
DefaultsConfig defaults_for(const DefaultsConfig& configured, const SamplingDefaults& of_model);

/// Shared: a request that outlives the model's stay in memory keeps its tokenizer. Thread: any, it is
/// immutable.
struct ServedModel {
  ModelId id{};
  std::string name;  ///< its own, whatever alias the client used
  std::shared_ptr<const TextModel> text;
  DefaultsConfig defaults;
  int64_t created = 0;  ///< Unix seconds
  ModelLimits limits;
};

using ServedModelPtr = std::shared_ptr<const ServedModel>;

}  // namespace halod

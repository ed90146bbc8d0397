// A model that halod knows, and where it stands.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/control/ids.h"
#include "daemon/control/model_catalogue.h"
#include "daemon/control/served_model.h"
#include "runtime/engine/wire.h"

namespace halod {

enum class ModelState : uint8_t {
  kAvailable,  ///< on disk
  kLoading,
  kLoaded,
  kUnloading,  ///< what it runs is finishing; it gets nothing new
  kFailed,     ///< the last load failed: `error` says why
};
std::string_view to_string(ModelState state);  ///< "available", "loading", …

/// Kept by the ModelManager, which alone changes it. Thread: the io thread.
struct Model {
  ModelId id{};
  ModelSpec spec;
  ModelState state = ModelState::kAvailable;
  std::optional<ModelFileInfo> info;  ///< none while nobody has read the file, or it cannot be read
  std::optional<Error> error;
  std::chrono::steady_clock::time_point failed_at{};
  ServedModelPtr served;  ///< with its tokenizer; set while it is loading or loaded

  uint32_t engine_model_id = 0;             ///< of the load that goes on, or that succeeded
  std::optional<wire::ModelLoaded> loaded;  ///< the engine's word on it, while it is resident
  std::optional<wire::ModelStats> stats;    ///< of the last heartbeat, while it is resident
  bool resident = false;                    ///< shall be in the engine, also after a restart of it
  std::chrono::steady_clock::time_point last_used{};
  std::chrono::system_clock::time_point last_used_at{};  ///< for people; 0 = never

  uint64_t resident_bytes() const {
    return loaded ? loaded->weight_bytes + loaded->kv_cache_bytes + loaded->scratch_bytes : 0;
  }
  bool answers_to(std::string_view name) const;
};

}  // namespace halod

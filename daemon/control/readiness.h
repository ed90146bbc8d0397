// Where the engine stands, in words for /health, haloctl and error messages.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace halod {

enum class EngineState : uint8_t {
  kStarting,    ///< the process is being started
  kLoading,     ///< it reads the model
  kWarming,     ///< it runs its first steps
  kReady,       ///< requests are accepted
  kRestarting,  ///< it died; the next attempt is coming
  kStopping,    ///< halod was told to stop
  kFailed,      ///< it will not become ready: halod exits
};

/// "starting", "loading", … Thread: any.
std::string_view to_string(EngineState state);

struct Readiness {
  EngineState state = EngineState::kStarting;
  std::string reason = "the engine is starting";  ///< a sentence without a full stop
  int percent = 0;                                ///< of the weights, while loading

  bool ready() const { return state == EngineState::kReady; }
};

}  // namespace halod

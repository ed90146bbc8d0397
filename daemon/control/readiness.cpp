#include "daemon/control/readiness.h"

namespace halod {

std::string_view to_string(EngineState state) {
  switch (state) {
    case EngineState::kStarting:
      return "starting";
    case EngineState::kLoading:
      return "loading";
    case EngineState::kWarming:
      return "warming";
    case EngineState::kReady:
      return "ready";
    case EngineState::kRestarting:
      return "restarting";
    case EngineState::kStopping:
      return "stopping";
    case EngineState::kFailed:
      return "failed";
  }
  return "failed";
}

}  // namespace halod

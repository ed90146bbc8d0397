// Where halod stands, in words for /health, haloctl, systemd and error messages.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace halod {

enum class ServiceState : uint8_t {
  kStarting,    ///< the engine is being started
  kLoading,     ///< it reads the default model
  kWarming,     ///< it runs that model's first steps
  kReady,       ///< requests are served
  kRestarting,  ///< the engine died; the next attempt is coming, requests wait for it
  kDegraded,    ///< the default model cannot be loaded again; others are served
  kStopping,    ///< halod was told to stop, or there is nothing to serve
};

/// "starting", "loading", … Thread: any.
std::string_view to_string(ServiceState state);

struct Readiness {
  ServiceState state = ServiceState::kStarting;
  std::string reason = "the engine is starting";  ///< a sentence without a full stop
  int percent = 0;                                ///< of the default model's weights, while loading

  bool ready() const { return state == ServiceState::kReady; }
  friend bool operator==(const Readiness&, const Readiness&) = default;
};

}  // namespace halod

#include "daemon/control/readiness.h"

#include <array>

namespace halod {

std::string_view to_string(ServiceState state) {
  constexpr std::array<std::string_view, 7> kNames{"starting",   "loading",  "warming", "ready",
                                                   "restarting", "degraded", "stopping"};
  return kNames.at(static_cast<size_t>(state));
}

}  // namespace halod

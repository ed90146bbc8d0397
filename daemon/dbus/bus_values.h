// How values of daemon/control look on the bus, where several objects show them.
#pragma once

#include <chrono>
#include <cstdint>

#include "daemon/control/model.h"

namespace halod {

/// Between two tellings of progress.
inline constexpr std::chrono::milliseconds kProgressInterval{100};

/// Microseconds since 1970.
inline uint64_t to_bus_time(std::chrono::system_clock::time_point time) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count());
}

/// The loaded model's, or the longest that its file says it was trained for; 0 while neither is known.
inline uint32_t context_length_of(const Model& model) {
  if (model.loaded) return static_cast<uint32_t>(model.loaded->context_length);
  return model.info ? static_cast<uint32_t>(model.info->context_length) : 0;
}

}  // namespace halod

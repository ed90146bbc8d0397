// Connecting to a message bus.
#pragma once

#include <memory>
#include <string>

#include "base/dbus/sdbus_compat.h"
#include "base/error.h"

namespace halod {

struct BusPlace {
  bool is_system = true;     ///< the machine's bus; else that of the user's session
  std::string address = {};  ///< of a bus of one's own, instead of both
};

/// "the system bus", "the session bus", "the bus at unix:path=…". Thread: any.
std::string describe(const BusPlace& place);

/// Waits for the bus to say hello. Errors: kUnavailable with the reason. Thread: any.
Result<std::unique_ptr<sdbus::IConnection>> open_bus(const BusPlace& place);

}  // namespace halod

// Opening a connection to a bus.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"

namespace sdbus {
class IConnection;
}  // namespace sdbus

namespace halod {

enum class BusKind : uint8_t { kNone, kSystem, kSession };

/// The bus at `address`, or the usual one of that kind when it is empty. Waits for the bus to say hello, so
/// not on the io thread. Errors: kUnavailable. Thread: any.
Result<std::unique_ptr<sdbus::IConnection>> open_bus(BusKind kind, const std::string& address);

/// "the system bus", "the bus at unix:path=…"; for the log.
std::string describe_bus(BusKind kind, const std::string& address);

}  // namespace halod

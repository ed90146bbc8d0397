#include "daemon/dbus/bus_connection.h"

#include <fmt/format.h>

#include <cstdlib>

#include "daemon/dbus/bus_address.h"
#include "daemon/dbus/sdbus_compat.h"

namespace halod {
namespace {

std::string address_of(BusKind kind, const std::string& configured) {
  if (!configured.empty()) return configured;
  const bool system = kind == BusKind::kSystem;
  const char* address = std::getenv(system ? "DBUS_SYSTEM_BUS_ADDRESS" : "DBUS_SESSION_BUS_ADDRESS");
  if (address) return address;
  return system ? "unix:path=/run/dbus/system_bus_socket" : "";
}

}  // namespace

Result<std::unique_ptr<sdbus::IConnection>> open_bus(BusKind kind, const std::string& address) {
  if (const auto path = socket_path_of(address_of(kind, address))) {
    if (auto there = check_socket(*path); !there) return there.error();
  }
  try {
    if (!address.empty()) return sdbus::createSessionBusConnectionWithAddress(address);
    return kind == BusKind::kSystem ? sdbus::createSystemBusConnection()
                                    : sdbus::createSessionBusConnection();
  } catch (const sdbus::Error& error) {
    return Error{ErrorCode::kUnavailable, error.getMessage()};
  }
}

std::string describe_bus(BusKind kind, const std::string& address) {
  if (!address.empty()) return fmt::format("the bus at {}", address);
  return kind == BusKind::kSystem ? "the system bus" : "the session bus";
}

}  // namespace halod

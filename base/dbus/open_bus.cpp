#include "base/dbus/open_bus.h"

#include <cstdlib>

#include "base/dbus/bus_address.h"

namespace halod {
namespace {

std::string address_of(const BusPlace& place) {
  if (!place.address.empty()) return place.address;
  const char* address = std::getenv(place.is_system ? "DBUS_SYSTEM_BUS_ADDRESS" : "DBUS_SESSION_BUS_ADDRESS");
  if (address) return address;
  return place.is_system ? "unix:path=/run/dbus/system_bus_socket" : "";
}

}  // namespace

std::string describe(const BusPlace& place) {
  if (!place.address.empty()) return "the bus at " + place.address;
  return place.is_system ? "the system bus" : "the session bus";
}

Result<std::unique_ptr<sdbus::IConnection>> open_bus(const BusPlace& place) {
  if (const auto path = socket_path_of(address_of(place))) {
    if (auto there = check_socket(*path); !there) return there.error();
  }
  try {
    if (!place.address.empty()) return sdbus::createSessionBusConnectionWithAddress(place.address);
    return place.is_system ? sdbus::createSystemBusConnection() : sdbus::createSessionBusConnection();
  } catch (const sdbus::Error& error) {
    return Error{ErrorCode::kUnavailable, error.getMessage()};
  }
}

}  // namespace halod

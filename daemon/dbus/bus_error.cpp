#include "daemon/dbus/bus_error.h"

#include "base/dbus/bus_names.h"

namespace halod {

sdbus::Error bus_error(const Error& error) {
  return sdbus_compat::make_error(bus_error_name(error.code), error.message);
}

sdbus::Error access_denied(const std::string& sentence) {
  return sdbus_compat::make_error("org.freedesktop.DBus.Error.AccessDenied", sentence);
}

sdbus::Error unknown_object(const std::string& sentence) {
  return sdbus_compat::make_error("org.freedesktop.DBus.Error.UnknownObject", sentence);
}

sdbus::Struct<std::string, std::string> error_property(const std::optional<Error>& error) {
  if (!error) return {};
  return {bus_error_name(error->code), error->message};
}

sdbus::Struct<uint64_t, uint64_t> error_bytes_property(const std::optional<Error>& error) {
  if (!error) return {};
  return {error->needed_bytes, error->available_bytes};
}

}  // namespace halod

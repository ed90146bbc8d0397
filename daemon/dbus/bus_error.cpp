#include "daemon/dbus/bus_error.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace halod {
namespace {

struct BusErrorName {
  ErrorCode code;
  std::string_view name;  ///< after "io.halod.Error."
};

constexpr std::array kNames{
    BusErrorName{ErrorCode::kInvalidArgument, "InvalidArgument"},
    BusErrorName{ErrorCode::kNotFound, "NotFound"},
    BusErrorName{ErrorCode::kCorruptFile, "CorruptFile"},
    BusErrorName{ErrorCode::kUnsupported, "Unsupported"},
    BusErrorName{ErrorCode::kContextOverflow, "ContextOverflow"},
    BusErrorName{ErrorCode::kQueueFull, "QueueFull"},
    BusErrorName{ErrorCode::kOutOfMemory, "OutOfMemory"},
    BusErrorName{ErrorCode::kUnavailable, "Unavailable"},
    BusErrorName{ErrorCode::kCancelled, "Cancelled"},
    BusErrorName{ErrorCode::kIo, "Io"},
    BusErrorName{ErrorCode::kInternal, "Internal"},
};

}  // namespace

std::string bus_error_name(ErrorCode code) {
  const auto found = std::ranges::find(kNames, code, &BusErrorName::code);
  HALOD_ASSERT(found != kNames.end());
  return "io.halod.Error." + std::string(found->name);
}

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

}  // namespace halod

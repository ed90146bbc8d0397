// Errors as callers on the bus see them.
#pragma once

#include <string>

#include "base/error.h"
#include "daemon/dbus/sdbus_compat.h"

namespace halod {

/// "io.halod.Error.NotFound" and so on; one name per code. Thread: any.
std::string bus_error_name(ErrorCode code);
sdbus::Error bus_error(const Error& error);
/// org.freedesktop.DBus.Error.AccessDenied
sdbus::Error access_denied(const std::string& sentence);
/// org.freedesktop.DBus.Error.UnknownObject: what the object stood for has gone since.
sdbus::Error unknown_object(const std::string& sentence);

/// Name and sentence, both empty without an error.
sdbus::Struct<std::string, std::string> error_property(const std::optional<Error>& error);

}  // namespace halod

// Errors as callers on the bus see them.
#pragma once

#include <string>

#include "base/dbus/sdbus_compat.h"
#include "base/error.h"

namespace halod {

/// By the name of its code (base/dbus/bus_names.h). Thread: any.
sdbus::Error bus_error(const Error& error);
/// org.freedesktop.DBus.Error.AccessDenied
sdbus::Error access_denied(const std::string& sentence);
/// org.freedesktop.DBus.Error.UnknownObject: what the object stood for has gone since.
sdbus::Error unknown_object(const std::string& sentence);

/// Name and sentence, both empty without an error.
sdbus::Struct<std::string, std::string> error_property(const std::optional<Error>& error);
/// Bytes needed and available, both 0 where memory was not what was short.
sdbus::Struct<uint64_t, uint64_t> error_bytes_property(const std::optional<Error>& error);

}  // namespace halod

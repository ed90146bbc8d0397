// Where a bus listens, and whether anybody does.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace halod {

/// The file of the first "unix:path=…" of a bus address (D-Bus Specification, "Server Addresses"), its
/// escapes resolved; nothing when there is none. Thread: any.
std::optional<std::string> socket_path_of(std::string_view address);

/// Connects and hangs up at once. sdbus-c++ 1.2 loses two kilobytes each time that a bus cannot be opened,
/// and halod tries for ever; so it asks first. Errors: kUnavailable with the system's reason. Thread: any.
Result<> check_socket(const std::string& path);

}  // namespace halod

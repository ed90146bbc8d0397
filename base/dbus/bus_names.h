// What both ends of io.halod.Halod1 call things.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace halod {

inline constexpr const char* kBusName = "io.halod.Halod1";
inline constexpr const char* kBusRoot = "/io/halod/Halod1";

/// "io.halod.Error.NotFound" and so on; one name per code. Thread: any.
std::string bus_error_name(ErrorCode code);
/// The code of that name; nothing for a name that is none of ours. Thread: any.
std::optional<ErrorCode> error_code_of_bus(std::string_view name);

}  // namespace halod

#include "base/dbus/bus_names.h"

#include <algorithm>
#include <array>

namespace halod {
namespace {

constexpr std::string_view kPrefix = "io.halod.Error.";

struct BusErrorName {
  ErrorCode code;
  std::string_view name;  ///< after kPrefix
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
  return std::string(kPrefix) + std::string(found->name);
}

std::optional<ErrorCode> error_code_of_bus(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const auto found = std::ranges::find(kNames, name.substr(kPrefix.size()), &BusErrorName::name);
  return found == kNames.end() ? std::nullopt : std::optional(found->code);
}

}  // namespace halod

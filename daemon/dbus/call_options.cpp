#include "daemon/dbus/call_options.h"

#include <fmt/format.h>

namespace halod {
namespace {

constexpr const char* kPolicy = "policy";

Error unknown(const std::string& name, std::string_view known) {
  return {ErrorCode::kInvalidArgument, fmt::format("unknown option '{}'; known here: {}", name, known), name};
}

}  // namespace

Result<> refuse_options(const CallOptions& options) {
  if (options.empty()) return {};
  return unknown(options.begin()->first, "none");
}

Result<DrainPolicy> read_policy(const CallOptions& options, DrainPolicy by_default) {
  for (const auto& [name, value] : options) {
    if (name != kPolicy) return unknown(name, kPolicy);
    if (!value.containsValueOfType<std::string>())
      return Error{ErrorCode::kInvalidArgument, "option 'policy' is no string", kPolicy};
    const auto text = value.get<std::string>();
    const auto policy = drain_policy_from(text);
    if (!policy) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("option 'policy' is '{}'; it takes drain or pause", text), kPolicy};
    }
    by_default = *policy;
  }
  return by_default;
}

}  // namespace halod

// The a{sv} argument that lets methods grow without new signatures.
#pragma once

#include <map>
#include <string>

#include "base/dbus/sdbus_compat.h"
#include "base/error.h"
#include "daemon/control/job.h"

namespace halod {

using CallOptions = std::map<std::string, sdbus::Variant>;

/// For methods without any. Errors: kInvalidArgument naming an option that is there.
Result<> refuse_options(const CallOptions& options);
/// Option "policy", else `by_default`. Errors: kInvalidArgument for another option, a value that is no string
/// or no policy.
Result<DrainPolicy> read_policy(const CallOptions& options, DrainPolicy by_default);

}  // namespace halod

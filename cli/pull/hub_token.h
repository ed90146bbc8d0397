// Who asks the hub.
#pragma once

#include <string>

#include "base/error.h"

namespace halod::cli {

/// From `file` when it names one; else HF_TOKEN; else the file where the hub's own tools keep it
/// ($HF_HOME/token,
/// ~/.cache/huggingface/token); else empty. Errors: kIo when `file` cannot be read, kInvalidArgument when it
/// holds no token.
Result<std::string> hub_token(const std::string& file);

}  // namespace halod::cli

// llama-swap's configuration.
#pragma once

#include <string_view>

#include "base/error.h"
#include "cli/migrate/migration.h"

namespace halod::cli {

/// Errors: kInvalidArgument as "FILE:LINE: …" for what is no YAML, or has no models. Keys that it does not
/// know become notes. Thread: any.
Result<Migration> migrate_llama_swap(std::string_view yaml, std::string_view file_name);

}  // namespace halod::cli

// Logging set-up. Code logs with spdlog directly: spdlog::info("...").
#pragma once

#include <string>

#include "base/error.h"

namespace halod {

/// Makes the default logger write to standard error; with journald's level prefixes (`<6>`) when standard
/// error is the journal, with a time stamp otherwise. Standard output stays free for results. `level`: trace,
/// debug, info, warning, error, critical. Call once from main, before any thread starts.
Result<> set_up_logging(const std::string& program, const std::string& level);

}  // namespace halod

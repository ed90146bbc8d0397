// What halo-bench inspect found, for people.
#pragma once

#include <boost/json/value.hpp>
#include <string>

#include "cli/exit_status.h"

namespace halod::cli {

/// Lines, each with its end: the model, where its bytes are, the memory that it takes, the speed that it
/// could reach, and in the end whether it runs here. REQUIRES: no "error" in it.
std::string format_inspection(const boost::json::value& report);

/// kSuccess, kCannotRun, kDoesNotFit; kUsage where the question was wrong.
ExitStatus status_of_inspection(const boost::json::value& report);

/// "30.5 B", "616.2 M", "12.3 K", "640": powers of 1000.
std::string format_count(uint64_t count);

}  // namespace halod::cli

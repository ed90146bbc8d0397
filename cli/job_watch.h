// Following a job of the server to its end.
#pragma once

#include <boost/json/value.hpp>
#include <chrono>

#include "cli/control_client.h"

namespace halod::cli {

/// Asks again and again for the job until it has ended. Standard error shows a bar that moves on a terminal,
/// and else one line for each stage; `json` prints the ended job on standard output and nothing else. Returns
/// kSuccess for a job that is done; kRefused for one that failed or was cancelled. Blocks. Thread: one.
int follow_job(ControlClient& client, boost::json::value job, bool json,
               std::chrono::milliseconds interval = std::chrono::milliseconds(200));

}  // namespace halod::cli

// Following a job of the server to its end.
#pragma once

#include <boost/json/value.hpp>
#include <chrono>

#include "cli/api_client.h"

namespace halod::cli {

/// Polls /v1/admin/jobs/N until the job has ended. Standard error shows a bar that moves on a terminal, and
/// else one line for each stage; `json` prints the ended job on standard output and nothing else. Returns
/// kSuccess for a job that is done; kRefused for one that failed or was cancelled. Blocks. Thread: one.
int follow_job(const ApiClient& client, boost::json::value job, bool json,
               std::chrono::milliseconds interval = std::chrono::milliseconds(200));

}  // namespace halod::cli

// haloctl doctor: whether this machine is set up for halod.
#pragma once

#include <string>

#include "cli/api_client.h"

namespace halod::cli {

struct DoctorFlags {
  std::string root = "/";  ///< of another tree: a recorded machine, of which nothing is measured
  std::string models;      ///< the folder whose disk is measured; empty = the usual places
  std::string bench;       ///< halo-bench; empty = beside this program
};

/// Prints the report. kSuccess, or kUnhealthy when a check failed.
int run_doctor(const ApiClient& client, bool json, const DoctorFlags& flags);

}  // namespace halod::cli

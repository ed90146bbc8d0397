// haloctl doctor: whether this machine is set up for halod.
#pragma once

#include <memory>
#include <string>

#include "cli/control_client.h"

namespace halod::cli {

struct DoctorFlags {
  std::string root = "/";  ///< of another tree: a recorded machine, of which nothing is measured
  std::string models;      ///< the folder whose disk is measured; empty = the usual places
  std::string bench;       ///< halo-bench; empty = beside this program
};

/// Prints the report; to have no server is a finding like others. kSuccess, or kUnhealthy when a check
/// failed.
int run_doctor(const Reply<std::unique_ptr<ControlClient>>& server, bool json, const DoctorFlags& flags);

}  // namespace halod::cli

// haloctl inspect: what a model file is, and whether it would run here. Needs no server.
#pragma once

#include <cstdint>
#include <string>

namespace halod::cli {

struct InspectFlags {
  std::string path;
  uint32_t context_length = 0;  ///< 0: what halod would choose
  uint32_t n_sequences = 0;     ///< likewise
  double read_gb_per_s = 0;     ///< 0: measured
  std::string bench;            ///< halo-bench; empty = beside this program
};

/// Runs halo-bench, which reads the file as the engine does, and prints what it found. kSuccess; kUsage for a
/// file that is not there or numbers that no machine could serve; kCannotRun; kDoesNotFit. Blocks. Thread:
/// one.
int run_inspect(bool json, const InspectFlags& flags);

}  // namespace halod::cli

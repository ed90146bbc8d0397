// haloctl migrate: another server's models as a configuration of halod. Needs no server.
#pragma once

#include <string>

namespace halod::cli {

struct MigrateFlags {
  std::string source;  ///< llama-swap, ollama
  std::string path;  ///< of llama-swap the configuration file; of Ollama the folder with its models, empty =
                     ///< the usual one
};

/// Prints a halod.yaml, with a comment for everything that has no equivalent. kSuccess; kUsage (no file
/// named); kCannotRun (it cannot be read, or is none). Thread: one.
int run_migrate(const MigrateFlags& flags);

}  // namespace halod::cli

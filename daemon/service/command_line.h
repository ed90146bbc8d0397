// halod's flags, and the configuration that they and the file make together.
#pragma once

#include <filesystem>
#include <string>
#include <variant>

#include "base/error.h"
#include "daemon/config/config.h"

namespace halod {

struct CommandLine {
  struct Flags {
    std::string config_file;
    std::string model;
    std::string listen;
    std::string log_level;
  };
  Flags flags;
  std::filesystem::path config_file;  ///< empty: there is none
  Config config;                      ///< file and flags together
  bool check_config = false;          ///< say whether the configuration is right, and exit

  /// Reads the file (again) and puts the flags over it. Where neither file nor flags
  /// name a model and models.directory holds none, find_models() falls back on the demo model.
  /// Errors: those of the configuration loader, of read_key_files() and of find_demo_model().
  Result<Config> read_config() const;
};

/// What to do, or the status to exit with when the command line itself was the answer (--help, --version, a
/// mistake). Flags override the file; the file is --config, else /etc/halod/halod.yaml where that exists.
/// Errors: those of read_config().
Result<std::variant<CommandLine, int>> read_command_line(int argc, char** argv);

/// The model that is served when nothing is configured: installed beside this program, else in the source
/// tree. Errors: kNotFound naming the places and the remedy.
Result<std::filesystem::path> find_demo_model();

}  // namespace halod

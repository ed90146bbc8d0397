// halod's flags, and the configuration that they and the file make together.
#pragma once

#include <filesystem>
#include <string>
#include <variant>

#include "base/error.h"
#include "daemon/config/config.h"

namespace halod {

struct CommandLine {
  Config config;
  std::filesystem::path config_file;  ///< empty: none was read
  bool check_config = false;          ///< say whether the configuration is right, and exit
};

/// What to do, or the status to exit with when the command line itself was the answer (--help, --version, a
/// mistake). Flags override the file; the file is --config, else /etc/halod/halod.yaml where that exists.
/// Errors: those of the configuration loader.
Result<std::variant<CommandLine, int>> read_command_line(int argc, char** argv);

/// The model that is served when nothing is configured: installed beside this program, else in the source
/// tree. Errors: kNotFound naming the places and the remedy.
Result<std::filesystem::path> find_demo_model();

/// "models/Qwen3-30B-00001-of-00002.gguf" → "Qwen3-30B".
std::string model_name_from(const std::filesystem::path& file);

}  // namespace halod

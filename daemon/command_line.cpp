#include "daemon/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <regex>

#include "daemon/config/config_fields.h"
#include "daemon/config/load_config.h"

namespace halod {
namespace {

constexpr int kUsageStatus = 2;
constexpr const char* kDefaultConfigFile = "/etc/halod/halod.yaml";
constexpr const char* kDemoModel = "demo-moe-Q8_0.gguf";

struct Flags {
  std::string config_file;
  std::string model;
  std::string listen;
  std::string log_level;
  bool check_config = false;
};

Result<> override_field(Config& config, std::string_view key, const std::string& value) {
  if (value.empty()) return {};
  return assign_scalar(*find_config_field(key), value, config);
}

Result<CommandLine> combine(const Flags& flags) {
  CommandLine command_line{.check_config = flags.check_config};
  std::error_code ec;
  if (!flags.config_file.empty()) {
    command_line.config_file = flags.config_file;
  } else if (std::filesystem::exists(kDefaultConfigFile, ec)) {
    command_line.config_file = kDefaultConfigFile;
  }
  if (!command_line.config_file.empty()) {
    Result<Config> config = load_config(command_line.config_file);
    if (!config) return config.error();
    command_line.config = std::move(*config);
  }
  Config& config = command_line.config;
  if (auto set = override_field(config, "model.path", flags.model); !set) return set.error();
  if (auto set = override_field(config, "http.listen", flags.listen); !set) return set.error();
  if (auto set = override_field(config, "log.level", flags.log_level); !set) return set.error();
  if (auto valid = validate(config); !valid) return valid.error();
  return command_line;
}

}  // namespace

Result<std::variant<CommandLine, int>> read_command_line(int argc, char** argv) {
  using Outcome = std::variant<CommandLine, int>;
  Flags flags;
  CLI::App app{"halod: serves Mixture-of-Experts language models over an OpenAI-compatible API", "halod"};
  app.add_option("--config", flags.config_file,
                 fmt::format("configuration file (default: {} where it exists)", kDefaultConfigFile));
  app.add_option("--model", flags.model, "GGUF file to serve (default: the bundled demo model)");
  app.add_option("--listen", flags.listen, "HOST:PORT; port 0 takes any free one (default: 127.0.0.1:8000)");
  app.add_option("--log-level", flags.log_level,
                 "trace, debug, info, warning, error or critical (default: info)");
  app.add_flag("--check-config", flags.check_config,
               "check the configuration, say what is wrong with it, and exit");
  app.set_version_flag("--version", "halod " HALOD_VERSION);
  app.footer(
      "etc/halod.yaml documents every configuration key. Exit status: 0 stopped as asked, 1 cannot serve, 2 "
      "wrong usage.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return Outcome(app.exit(error) == 0 ? 0 : kUsageStatus);
  }
  Result<CommandLine> command_line = combine(flags);
  if (!command_line) return command_line.error();
  return Outcome(std::move(*command_line));
}

Result<std::filesystem::path> find_demo_model() {
  std::error_code ec;
  const std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe", ec).parent_path();
  const std::filesystem::path installed = (folder / "../share/halod/models" / kDemoModel).lexically_normal();
  const std::filesystem::path in_source = std::filesystem::path(HALOD_SOURCE_DIR "/models") / kDemoModel;
  for (const auto& place : {installed, in_source}) {
    if (std::filesystem::exists(place, ec)) return place;
  }
  return Error{ErrorCode::kNotFound,
               fmt::format("there is no demo model at {} or {}; give a model with --model or model.path",
                           installed.string(), in_source.string()),
               "model.path"};
}

std::string model_name_from(const std::filesystem::path& file) {
  const std::string stem = file.extension() == ".gguf" ? file.stem().string() : file.filename().string();
  return std::regex_replace(stem, std::regex("-[0-9]{5}-of-[0-9]{5}$"), "");
}

}  // namespace halod

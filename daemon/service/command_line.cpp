#include "daemon/service/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "daemon/config/config_fields.h"
#include "daemon/config/key_file.h"
#include "daemon/config/load_config.h"

namespace halod {
namespace {

constexpr int kUsageStatus = 2;
constexpr const char* kDefaultConfigFile = "/etc/halod/halod.yaml";
constexpr const char* kDemoModel = "demo-moe-Q8_0.gguf";

Result<> override_field(Config& config, std::string_view key, const std::string& value) {
  if (value.empty()) return {};
  return assign_scalar(*find_config_field(key), value, config);
}

/// The configuration file that `flags` mean; empty when there is none.
std::filesystem::path config_file_of(const CommandLine::Flags& flags) {
  std::error_code ec;
  if (!flags.config_file.empty()) return flags.config_file;
  return std::filesystem::exists(kDefaultConfigFile, ec) ? kDefaultConfigFile : "";
}

}  // namespace

Result<Config> CommandLine::read_config() const {
  Config combined;
  if (!config_file.empty()) {
    Result<Config> read = load_config(config_file);
    if (!read) return read;
    combined = std::move(*read);
  }
  if (!flags.model.empty()) {
    combined.models.list.insert(combined.models.list.begin(), ModelEntryConfig{.path = flags.model});
    combined.models.default_model.clear();  // the first
  }
  if (auto set = override_field(combined, "http.listen", flags.listen); !set) return set.error();
  if (auto set = override_field(combined, "log.level", flags.log_level); !set) return set.error();
  const Result<std::filesystem::path> demo = find_demo_model();
  if (demo) combined.models.bundled_model = demo->string();
  if (!demo && combined.models.list.empty() && combined.models.directory.empty()) return demo.error();
  if (auto valid = validate(combined); !valid) return valid.error();
  const auto unread = check_config ? UnreadCredential::kIsAWarning : UnreadCredential::kIsAnError;
  if (auto read = read_key_files(combined, unread); !read) return read.error();
  return combined;
}

Result<std::variant<CommandLine, int>> read_command_line(int argc, char** argv) {
  using Outcome = std::variant<CommandLine, int>;
  CommandLine::Flags flags;
  bool check_config = false;
  CLI::App app{"halod: serves Mixture-of-Experts language models over an OpenAI-compatible API", "halod"};
  app.add_option("--config", flags.config_file,
                 fmt::format("configuration file (default: {} where it exists)", kDefaultConfigFile));
  app.add_option("--model", flags.model,
                 "GGUF file, or folder with config.json and safetensors, to serve first, before those of the "
                 "configuration (default: the bundled demo model)");
  app.add_option("--listen", flags.listen, "HOST:PORT; port 0 takes any free one (default: 127.0.0.1:8000)");
  app.add_option("--log-level", flags.log_level,
                 "trace, debug, info, warning, error or critical (default: info)");
  app.add_flag("--check-config", check_config,
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
  CommandLine command_line{
      .flags = flags, .config_file = config_file_of(flags), .check_config = check_config};
  Result<Config> config = command_line.read_config();
  if (!config) return config.error();
  command_line.config = std::move(*config);
  return Outcome(std::move(command_line));
}

Result<std::filesystem::path> find_demo_model() {
  std::error_code ec;
  const std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe", ec).parent_path();
  const std::filesystem::path installed = (folder / "../share/halod/models" / kDemoModel).lexically_normal();
  const std::filesystem::path in_source = std::filesystem::path(HALOD_SOURCE_DIR "/models") / kDemoModel;
  for (const auto& place : {installed, in_source}) {
    if (std::filesystem::exists(place, ec)) return place;
  }
  return Error{
      ErrorCode::kNotFound,
      fmt::format(
          "there is no demo model at {} or {}; give a model with --model, models.list or models.directory",
          installed.string(), in_source.string()),
      "models.list"};
}

}  // namespace halod

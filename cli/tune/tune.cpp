#include "cli/tune/tune.h"

#include <fmt/format.h>

#include <filesystem>
#include <vector>

#include "cli/child_program.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/json_fields.h"

namespace halod::cli {
namespace {

/// The files of the models that are meant: those that are loaded, or the one of that name.
Reply<std::vector<std::string>> paths_of(ControlClient& client, const std::string& name) {
  const auto list = client.models();
  if (!list) return list.error();
  if (!list->has_admin) {
    return Failure{
        kRefused,
        "the server tells only its administrators where models lie; be one (sudo, or --api-key), or name "
        "the model's file with --model"};
  }
  std::vector<std::string> paths;
  for (const boost::json::value& model : list->models) {
    const bool is_loaded = count_of(model, "resident_bytes") > 0;
    if (name.empty() ? is_loaded : text_of(model, "name") == name) paths.push_back(text_of(model, "path"));
  }
  if (!paths.empty()) return paths;
  if (name.empty()) return Failure{kNotReady, "no model is loaded; name one with --model"};
  return Failure{kRefused, fmt::format("there is no model '{}', neither as a file nor on the server", name)};
}

/// What is to be measured; nothing for an import or an export alone.
Reply<std::vector<std::string>> models_of(
    const TuneFlags& flags, const std::function<Reply<std::unique_ptr<ControlClient>>()>& connect) {
  std::error_code ec;
  if (!flags.model.empty() && std::filesystem::exists(flags.model, ec))
    return std::vector<std::string>{flags.model};
  if (flags.model.empty() && (!flags.import_file.empty() || !flags.export_file.empty()))
    return std::vector<std::string>{};
  const auto client = connect();
  if (!client) return client.error();
  return paths_of(**client, flags.model);
}

}  // namespace

int run_tune(bool json, const TuneFlags& flags,
             const std::function<Reply<std::unique_ptr<ControlClient>>()>& connect) {
  const auto models = models_of(flags, connect);
  if (!models) return report_failure(models.error());
  std::vector<std::string> arguments = {"tune", "--budget", flags.budget};
  const auto add = [&arguments](const char* option, const std::string& value) {
    if (value.empty()) return;
    arguments.emplace_back(option);
    arguments.push_back(value);
  };
  for (const std::string& model : *models) add("--model", model);
  add("--threads", flags.n_threads > 0 ? std::to_string(flags.n_threads) : "");
  add("--cache", flags.cache);
  add("--export", flags.export_file);
  add("--import", flags.import_file);
  if (flags.again) arguments.emplace_back("--again");
  if (flags.verify) arguments.emplace_back("--verify");
  if (json) arguments.emplace_back("--json");
  const std::filesystem::path program =
      flags.bench.empty() ? sibling_program("halo-bench") : std::filesystem::path(flags.bench);
  const auto status = run_program_here(program, arguments);
  if (!status) {
    fmt::print(stderr, "haloctl: {}\n", status.error().message);
    return kCannotRun;
  }
  return *status == 0 ? kSuccess : kRefused;
}

}  // namespace halod::cli

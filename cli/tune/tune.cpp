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

/// What is to be measured, and whose kernels.
struct Subject {
  std::vector<std::string> models;  ///< none for an import or an export alone
  std::string backend;              ///< empty: halo-bench decides
};
Reply<Subject> subject_of(const TuneFlags& flags,
                          const std::function<Reply<std::unique_ptr<ControlClient>>()>& connect) {
  std::error_code ec;
  if (!flags.model.empty() && std::filesystem::exists(flags.model, ec))
    return Subject{{flags.model}, flags.backend};
  if (flags.model.empty() && (!flags.import_file.empty() || !flags.export_file.empty()))
    return Subject{{}, flags.backend};
  const auto client = connect();
  if (!client) return client.error();
  const auto models = paths_of(**client, flags.model);
  if (!models) return models.error();
  Subject subject{*models, flags.backend};
  // Its configuration may choose another one than would be chosen here. A server that does not say leaves it
  // to halo-bench.
  if (subject.backend.empty()) {
    if (const auto tuning = (*client)->tuning()) subject.backend = text_of(*tuning, "backend");
  }
  return subject;
}

}  // namespace

int run_tune(bool json, const TuneFlags& flags,
             const std::function<Reply<std::unique_ptr<ControlClient>>()>& connect) {
  const auto subject = subject_of(flags, connect);
  if (!subject) return report_failure(subject.error());
  std::vector<std::string> arguments = {"tune", "--budget", flags.budget};
  const auto add = [&arguments](const char* option, const std::string& value) {
    if (value.empty()) return;
    arguments.emplace_back(option);
    arguments.push_back(value);
  };
  for (const std::string& model : subject->models) add("--model", model);
  add("--backend", subject->backend);
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

// halo-bench tune: measures which kernels are fastest for a model's shapes, and keeps it where halod looks.
// Of the model it reads the table of tensors, not a weight, so that it takes no room beside a server.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstdlib>
#include <map>
#include <memory>

#include "base/log.h"
#include "bench/command.h"
#include "bench/loaded_model.h"
#include "runtime/backend/backend.h"
#include "runtime/backend/tuning/tuning_store.h"
#include "runtime/weights/checkpoint.h"

namespace halod::bench {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

struct TuneOptions {
  std::vector<std::string> models;
  double budget_s = 60;
  BackendOptions backend;
  std::string directory, export_file, import_file;
  bool again = false, verifies = false, prints_json = false;
};

/// That of the service, where there is one and this program may write to it; else that of the user.
fs::path default_directory() {
  constexpr const char* kOfService = "/var/cache/halod";
  if (std::getenv("CACHE_DIRECTORY") == nullptr && access(kOfService, W_OK) == 0) return kOfService;
  return tuning_directory();
}

void print_verified(const std::vector<TuningComparison>& rows) {
  fmt::print("{:<22} {:<52} {:<34} {:>10} {:>10} {:>7}\n", "operation", "params", "solution", "untuned ms",
             "tuned ms", "gain");
  for (const TuningComparison& row : rows) {
    fmt::print("{:<22} {:<52} {:<34} {:>10.4f} {:>10.4f} {:>6.1f}%\n", row.key.operation, row.key.params,
               row.solution, row.untuned_ms, row.tuned_ms, 100 * (row.untuned_ms / row.tuned_ms - 1));
  }
}

void run(const TuneOptions& options) {
  const fs::path directory = options.directory.empty() ? default_directory() : fs::path(options.directory);
  if (directory.empty()) {
    throw ErrorException(
        {ErrorCode::kInvalidArgument,
         "there is no cache directory: neither CACHE_DIRECTORY nor XDG_CACHE_HOME nor HOME is set; "
         "name one with --cache",
         "cache"});
  }
  const std::unique_ptr<Backend> backend = open_backend(options.backend).value();
  Tuner& tuner = *backend->tuner();
  const Validators validators = tuner.validators();
  const fs::path file = tuning_file_in(directory, tuner.device());
  TuningStore store(file, validators);
  json::object report{{"file", file.string()}, {"device", std::string(tuner.device())}};
  if (!options.import_file.empty()) {
    const TuningResults results = import_tuning(options.import_file, validators).value();
    store.merge(results).value();
    report["imported"] = results.size();
    if (!options.prints_json)
      fmt::print("{} results of {} are in {}\n", results.size(), options.import_file, file.string());
  }
  for (const std::string& model : options.models) tuner.expect(*open_checkpoint(model).value());
  if (!options.models.empty()) {
    if (!options.again) tuner.use(store.read());
    const int n_before = tuner.n_gaps();
    const bool draws = isatty(STDERR_FILENO) != 0;
    const auto start = std::chrono::steady_clock::now();
    const auto seconds = [&] {
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    while (seconds() < options.budget_s && tuner.step()) {
      if (draws)
        fmt::print(stderr, "\rtuning: {} of {} selections, {:.0f} s  ", n_before - tuner.n_gaps(), n_before,
                   seconds());
    }
    if (draws) fmt::print(stderr, "\r{:60}\r", "");
    const TuningResults found = tuner.take_found();
    if (!found.empty()) store.merge(found).value();
    report["measured"] = found.size();
    report["known_before"] = tuner.n_selections() - n_before;
    report["left"] = tuner.n_gaps();
    report["seconds"] = seconds();
    if (!options.prints_json) {
      fmt::print("{} selections measured in {:.1f} s on {}, {} were known, {} are left{}\n", found.size(),
                 seconds(), backend->device_name(), tuner.n_selections() - n_before, tuner.n_gaps(),
                 tuner.n_gaps() > 0 ? " for a longer --budget" : "");
      fmt::print("{}: a running halod takes it over within seconds\n", file.string());
    }
  }
  const TuningResults results = store.read();
  if (options.verifies) {
    tuner.use(results);
    const std::vector<TuningComparison> rows = tuner.compare();
    json::array verified;
    for (const TuningComparison& row : rows) {
      verified.push_back({{"operation", row.key.operation},
                          {"params", row.key.params},
                          {"solution", row.solution},
                          {"untuned_ms", row.untuned_ms},
                          {"tuned_ms", row.tuned_ms}});
    }
    report["verified"] = std::move(verified);
    if (!options.prints_json) print_verified(rows);
  }
  if (!options.export_file.empty()) {
    write_tuning(options.export_file, validators, results).value();
    report["exported"] = results.size();
    if (!options.prints_json) fmt::print("{} results are in {}\n", results.size(), options.export_file);
  }
  if (options.prints_json) fmt::print("{}\n", json::serialize(report));
}

}  // namespace

void add_tune_command(CLI::App& app) {
  auto options = std::make_shared<TuneOptions>();
  CLI::App* command =
      app.add_subcommand("tune", "Measure which kernels are fastest for models' shapes, for halod to use");
  command->add_option("--model,-m", options->models, "A GGUF file or a model's folder; may be given again");
  command->add_option("--budget", options->budget_s, "Measure for so long at most (s, min)")
      ->transform(CLI::AsNumberWithUnit(std::map<std::string, double>{{"ms", 1e-3}, {"s", 1}, {"min", 60}}))
      ->capture_default_str();
  command
      ->add_option(
          "--backend", options->backend.kind,
          "Whose kernels: auto (the GPU's where halod would compute on it, else the CPU's), cpu, hip, "
          "or hip-lanes: GPU kernels on the CPU, to test")
      ->capture_default_str();
  command
      ->add_option("--threads,-t", options->backend.n_threads,
                   "Threads to tune the CPU's kernels for (default: one per physical core)")
      ->check(CLI::Range(1, 1024));
  command->add_option(
      "--cache", options->directory,
      "Directory of the results (default: the service's where it may be written, else the user's)");
  command->add_option("--export", options->export_file,
                      "Write all results to this file, for machines like this one");
  command->add_option("--import", options->import_file, "Take over the results of a machine like this one");
  command->add_flag("--again", options->again, "Measure what is known too");
  command->add_flag("--verify", options->verifies, "Time what is chosen against the default once more");
  command->add_flag("--json", options->prints_json, "One JSON object instead of sentences");
  command->callback([options] { run(*options); });
}

}  // namespace halod::bench

// halo-bench inspect: what a model file is, what serving it takes, and how fast it could be, without reading
// a weight.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <memory>

#include "base/cpu_features.h"
#include "base/machine/memory.h"
#include "bench/command.h"
#include "bench/read_bandwidth.h"
#include "runtime/backend/backend.h"
#include "runtime/engine/model_inspection.h"
#include "runtime/text/chat_template.h"
#include "runtime/text/tokenizer.h"
#include "runtime/weights/checkpoint.h"
#include "runtime/weights/gguf_reader.h"
#include "runtime/weights/tokenizer_data.h"

namespace halod::bench {
namespace {

namespace json = boost::json;

struct InspectOptions {
  std::string path;
  uint32_t context_length = 0;
  uint32_t n_sequences = 0;
  double read_gb_per_s = 0;  ///< 0 = measure it
};

json::object error_json(const Error& error) {
  return {{"code", to_string(error.code)}, {"message", error.message}};
}

json::array groups_json(const ModelSummary& summary) {
  json::array groups;
  for (const TensorGroup& group : summary.groups) {
    groups.push_back(json::object{{"kind", group.kind},
                                  {"format", group.format},
                                  {"supported", group.supported},
                                  {"tensors", group.n_tensors},
                                  {"bytes", group.bytes},
                                  {"bytes_per_token", group.bytes_per_token}});
  }
  return groups;
}

/// Both are made as halod makes them, so that what it would stumble over is found here. Problems are added.
json::object text_json(const Checkpoint& file, std::vector<Error>& problems) {
  const Metadata& metadata = file.metadata();
  json::object text{{"model", printable(metadata.string_or("tokenizer.ggml.model", "").value())},
                    {"pre", printable(metadata.string_or("tokenizer.ggml.pre", "").value())},
                    {"vocabulary", 0},
                    {"chat_template", metadata.contains("tokenizer.chat_template")}};
  if (metadata.contains("tokenizer.ggml.tokens"))
    text["vocabulary"] = metadata.strings("tokenizer.ggml.tokens").value().size();
  const auto data = file.tokenizer_data();
  if (!data) {
    problems.push_back(data.error());
    return text;
  }
  text["model"] = printable(data->model);
  text["pre"] = printable(data->pre);
  text["vocabulary"] = data->tokens.size();
  text["chat_template"] = !data->chat_template.empty();
  if (const auto tokenizer = Tokenizer::create(*data); !tokenizer) problems.push_back(tokenizer.error());
  if (const auto compiled = ChatTemplate::compile(data->chat_template); !compiled)
    problems.push_back(compiled.error());
  return text;
}

json::object memory_json(const MemoryInspection& memory) {
  const ServingNeed& need = memory.need;
  const MemoryBudget& budget = memory.budget;
  json::object object{{"context_length", need.context_length},
                      {"sequences", need.max_sequences},
                      {"weight_bytes", need.weight_bytes},
                      {"kv_cache_bytes", need.kv_cache_bytes},
                      {"scratch_bytes", need.scratch_bytes},
                      {"needed_bytes", need.total_bytes()},
                      {"available_bytes", budget.available_bytes},
                      {"kept_free_bytes", budget.kept_free_bytes},
                      {"usable_bytes", budget.usable_bytes()},
                      {"kv_bytes_per_token", memory.kv_bytes_per_token},
                      {"fits", memory.plan.has_value()},
                      {"longest_context", memory.longest_context},
                      {"longest_single_context", memory.longest_single_context}};
  if (memory.plan) {
    object["served_context_length"] = memory.plan->context_length;
    object["served_kv_cache_tokens"] = memory.plan->kv_cache_tokens();
  }
  if (memory.refusal) object["refusal"] = memory.refusal->message;
  return object;
}

/// The best of three passes after one to warm up.
double measure_read_gb_per_s() {
  ReadBandwidth bandwidth(default_cpu_threads());
  bandwidth.measure_gb_per_s();
  double best = 0;
  for (int i = 0; i < 3; ++i) best = std::max(best, bandwidth.measure_gb_per_s());
  return best;
}

/// The floor of docs/performance.md: decoding a token reads its weights and the keys and values before it.
json::object speed_json(const InspectOptions& options, const ModelSummary& summary,
                        const MemoryInspection& memory) {
  const double gb_per_s = options.read_gb_per_s > 0 ? options.read_gb_per_s : measure_read_gb_per_s();
  const int64_t depth = memory.plan ? memory.plan->context_length : memory.need.context_length;
  json::array bounds;
  for (const int64_t n_past : {int64_t{0}, depth}) {
    const uint64_t bytes =
        summary.weight_bytes_per_token + static_cast<uint64_t>(n_past) * memory.kv_bytes_per_token;
    bounds.push_back(json::object{{"depth", n_past},
                                  {"bytes_per_token", bytes},
                                  {"tokens_per_s_at_most", gb_per_s * 1e9 / static_cast<double>(bytes)}});
  }
  json::object speed{{"device", cpu_model_name()}, {"read_gb_per_s", gb_per_s}};
  speed["measured"] = options.read_gb_per_s <= 0;
  speed["decode"] = std::move(bounds);
  return speed;
}

json::object inspect(const InspectOptions& options) {
  const auto opened = open_checkpoint_to_inspect(options.path).value();
  const Checkpoint& file = *opened;
  // Both given: their product is meant, and not what the engine would make of it where memory is short.
  const uint64_t n_kv_tokens = uint64_t{options.context_length} * options.n_sequences;
  const wire::LoadModel request{.path = options.path,
                                .context_length = options.context_length,
                                .max_sequences = options.n_sequences,
                                .kv_cache_tokens = n_kv_tokens};
  const auto backend = make_backend({.n_threads = 1}).value();
  const auto machine = read_machine_memory().value();
  ModelInspection found = inspect_model(file, request, *backend, machine).value();
  const ModelSummary& summary = found.summary;
  json::object report{{"path", options.path},
                      {"architecture", summary.architecture},
                      {"name", summary.name},
                      {"file_bytes", file.file_bytes()},
                      {"tensors", file.tensors().size() + file.unsupported_tensors().size()},
                      {"tensor_bytes", summary.tensor_bytes},
                      {"parameters", summary.n_parameters},
                      {"active_parameters", summary.n_active_parameters},
                      {"experts", summary.n_experts},
                      {"experts_per_token", summary.n_experts_per_token},
                      {"context_length", summary.context_length},
                      {"weight_bytes_per_token", summary.weight_bytes_per_token},
                      {"formats", groups_json(summary)}};
  report["tokenizer"] = text_json(file, found.problems);
  json::array problems;
  for (const Error& problem : found.problems) problems.push_back(error_json(problem));
  report["runnable"] = problems.empty();
  report["problems"] = std::move(problems);
  if (!found.memory) return report;
  report["memory"] = memory_json(*found.memory);
  report["speed"] = speed_json(options, summary, *found.memory);
  return report;
}

void run(const InspectOptions& options) {
  json::object report;
  std::optional<Error> failure;
  try {
    report = inspect(options);
  } catch (const ErrorException& exception) {
    failure = exception.error();
    report["path"] = options.path;
    report["error"] = error_json(*failure);
  }
  fmt::print("{}\n", json::serialize(report));
  if (failure) throw ErrorException(*failure);
}

}  // namespace

void add_inspect_command(CLI::App& app) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* command = app.add_subcommand(
      "inspect",
      "Print as JSON what a model file is and what serving it takes (haloctl inspect shows it to people)");
  command->add_option("path", options->path, "GGUF file, or a model's folder")->required();
  command->add_option("--context", options->context_length, "Tokens per sequence; 0 = as halod would choose")
      ->check(CLI::Range(0, 1 << 30));
  command->add_option("--sequences", options->n_sequences, "At the same time; 0 = as halod would choose")
      ->check(CLI::Range(0, 1 << 20));
  command->add_option("--bandwidth", options->read_gb_per_s, "GB/s to predict with; 0 = measure it")
      ->check(CLI::Range(0.0, 1e6));
  command->callback([options] { run(*options); });
}

}  // namespace halod::bench

// halo-bench predict: what Strix Halo could do with known models, on paper.
#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "bench/command.h"
#include "bench/paper_model.h"

namespace halod::bench {
namespace {

namespace json = boost::json;

struct PredictOptions {
  std::string model;  // empty = all
  double gb_per_s = 216;
  double tflops = 30;
  double launch_us = 3;
  double launches_per_layer = 8;
  std::vector<int64_t> depths = {0, 4096, 32768};
  int64_t prompt_tokens = 2048;
  bool json = false;
};

struct Row {
  const PaperModel& model;
  std::vector<DecodePrediction> decode;  // by depth
  PrefillPrediction prefill;
};

Row predict(const PaperModel& model, const PredictOptions& options) {
  const PaperMachine machine{.bytes_per_s = options.gb_per_s * 1e9,
                             .flops_per_s = options.tflops * 1e12,
                             .launch_s = options.launch_us * 1e-6};
  Row row{.model = model,
          .decode = {},
          .prefill = predict_prefill(model, machine, options.prompt_tokens, options.launches_per_layer)};
  for (const int64_t depth : options.depths)
    row.decode.push_back(predict_decode(model, machine, depth, options.launches_per_layer));
  return row;
}

void print(const std::vector<Row>& rows, const PredictOptions& options) {
  fmt::print("on paper: {:.0f} GB/s, {:.0f} TFLOP/s, {:g} launches a layer of {:g} us; tok/s\n\n",
             options.gb_per_s, options.tflops, options.launches_per_layer, options.launch_us);
  fmt::print("{:<44} {:>9} {:>9}", "model", "MB/token", "launch ms");
  for (const int64_t depth : options.depths) fmt::print(" {:>9}", fmt::format("@{}", depth));
  fmt::print(" {:>10} {:>10}\n", fmt::format("pp{}", options.prompt_tokens), "published");
  for (const Row& row : rows) {
    fmt::print("{:<44} {:>9.0f} {:>9.2f}", row.model.title, row.decode.front().weight_bytes / 1e6,
               row.decode.front().launch_s * 1e3);
    for (const DecodePrediction& decode : row.decode) fmt::print(" {:>9.1f}", decode.tok_per_s);
    fmt::print(" {:>10.0f} {:>10}\n", row.prefill.tok_per_s,
               row.model.published_tok_per_s > 0 ? fmt::format("{:g}", row.model.published_tok_per_s) : "-");
  }
  fmt::print(
      "\nMB/token: weights that one token reads. published: the best decode that others report for Strix "
      "Halo.\n");
}

json::object to_json(const Row& row, const PredictOptions& options) {
  json::object out{{"model", std::string(row.model.name)},
                   {"weight_bytes_per_token", row.decode.front().weight_bytes},
                   {"launch_seconds_per_token", row.decode.front().launch_s},
                   {"prefill_tok_per_s", row.prefill.tok_per_s},
                   {"prefill_flops", row.prefill.flops}};
  json::array decode;
  for (size_t i = 0; i < options.depths.size(); ++i) {
    decode.push_back(json::object{{"depth", options.depths[i]},
                                  {"kv_bytes_per_token", row.decode[i].kv_bytes},
                                  {"tok_per_s", row.decode[i].tok_per_s}});
  }
  out["decode"] = std::move(decode);
  if (row.model.published_tok_per_s > 0) out["published_tok_per_s"] = row.model.published_tok_per_s;
  return out;
}

void run(const PredictOptions& options) {
  std::vector<Row> rows;
  for (const PaperModel& model : paper_models()) {
    if (options.model.empty() || model.name == options.model) rows.push_back(predict(model, options));
  }
  if (!options.json) return print(rows, options);
  json::array out;
  for (const Row& row : rows) out.push_back(to_json(row, options));
  fmt::print("{}\n", json::serialize(out));
}

}  // namespace

void add_predict_command(CLI::App& app) {
  auto options = std::make_shared<PredictOptions>();
  CLI::App* command = app.add_subcommand(
      "predict", "What Strix Halo could do with known models: bytes, operations, launches");
  std::vector<std::string> names;
  for (const PaperModel& model : paper_models()) names.emplace_back(model.name);
  command
      ->add_option("--model", options->model, fmt::format("One of: {}; default all", fmt::join(names, ", ")))
      ->check(CLI::IsMember(names));
  command->add_option("--bandwidth", options->gb_per_s, "GB/s that kernels read")
      ->capture_default_str()
      ->check(CLI::Range(1.0, 1e5));
  command->add_option("--tflops", options->tflops, "TFLOP/s that matrix kernels reach")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 1e4));
  command->add_option("--launch-us", options->launch_us, "Microseconds from kernel to kernel")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1e4));
  command->add_option("--launches-per-layer", options->launches_per_layer, "Kernels in each layer")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1e3));
  command->add_option("--depth", options->depths, "Tokens in the cache, several separated by commas")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 24));
  command->add_option("--prompt", options->prompt_tokens, "Tokens of the prompt")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 24));
  command->add_flag("--json", options->json, "A JSON array instead of the table");
  command->callback([options] { run(*options); });
}

}  // namespace halod::bench

// halo-bench generate: the greedy continuation of a prompt, as token ids.
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "bench/command.h"
#include "bench/loaded_model.h"

namespace halod::bench {
namespace {

struct GenerateOptions {
  std::string model, ids;
  int64_t n = 0;
  BackendOptions backend;
};

void run(const GenerateOptions& options) {
  const std::vector<TokenId> prompt = parse_token_ids(options.ids);
  LoadedModel model({.path = options.model,
                     .backend = options.backend,
                     .context_length = static_cast<int64_t>(prompt.size()) + options.n,
                     .callbacks = terminal_progress()});
  boost::json::array answer;
  std::vector<float> logits = model.append(prompt);
  while (true) {
    const TokenId token = LoadedModel::argmax(logits);
    answer.push_back(to_int(token));
    if (static_cast<int64_t>(answer.size()) == options.n) break;
    logits = model.append({&token, 1});
  }
  std::puts(boost::json::serialize(answer).c_str());
}

}  // namespace

void add_generate_command(CLI::App& app) {
  auto options = std::make_shared<GenerateOptions>();
  CLI::App* command = app.add_subcommand(
      "generate", "Print the greedy continuation of a prompt as JSON ids; end tokens do not end it");
  command->add_option("--model", options->model, "GGUF file, or a model's folder")->required();
  command->add_option("--ids", options->ids, "Token ids of the whole prompt: 1,2,3")->required();
  command->add_option("-n", options->n, "Tokens to generate")->required()->check(CLI::Range(1, 1 << 20));
  command
      ->add_option("--backend", options->backend.kind,
                   "auto, cpu, hip, or hip-lanes: GPU kernels on the CPU, to test")
      ->capture_default_str();
  command->add_flag("--exact", options->backend.exact,
                    "Reference kernels in f32 on the file's own blocks (slow)");
  command->add_option("--threads", options->backend.n_threads, "CPU threads; 0 = one per physical core")
      ->capture_default_str();
  command->callback([options] { run(*options); });
}

}  // namespace halod::bench

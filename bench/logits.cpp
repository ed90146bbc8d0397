// halo-bench logits: the model's logits at chosen positions of a prompt, as raw f32.
#include <fmt/format.h>

#include <fstream>
#include <memory>
#include <string>

#include "bench/command.h"
#include "bench/loaded_model.h"

namespace halod::bench {
namespace {

struct LogitsOptions {
  std::string model, ids, positions = "last:1", out;
  BackendOptions backend;
  int64_t chunk = 512;
};

/// "all" or "last:N" -> the first position wanted.
int64_t first_position(const std::string& positions, int64_t n_tokens) {
  if (positions == "all") return 0;
  int64_t n = 0;
  if (positions.starts_with("last:")) {
    try {
      n = std::stoll(positions.substr(5));
    } catch (const std::exception&) {
      n = 0;
    }
  }
  if (n < 1 || n > n_tokens) {
    throw ErrorException({ErrorCode::kInvalidArgument,
                          fmt::format("--positions '{}': give 'all' or 'last:N' with N from 1 to the {} ids",
                                      positions, n_tokens),
                          "positions"});
  }
  return n_tokens - n;
}

void run(const LogitsOptions& options) {
  const std::vector<TokenId> ids = parse_token_ids(options.ids);
  const auto n_tokens = static_cast<int64_t>(ids.size());
  const int64_t first = first_position(options.positions, n_tokens);
  LoadedModel model({.path = options.model,
                     .backend = options.backend,
                     .context_length = n_tokens,
                     .max_logit_rows = std::min<int64_t>(n_tokens - first, 64),
                     .callbacks = terminal_progress()});
  const std::vector<float> logits = model.append(ids, first, options.chunk);
  std::ofstream file(options.out, std::ios::binary);
  file.write(reinterpret_cast<const char*>(logits.data()),
             static_cast<std::streamsize>(logits.size() * sizeof(float)));
  if (!file.flush())
    throw ErrorException({ErrorCode::kIo, fmt::format("{}: cannot be written", options.out), "out"});
}

}  // namespace

void add_logits_command(CLI::App& app) {
  auto options = std::make_shared<LogitsOptions>();
  CLI::App* command =
      app.add_subcommand("logits", "Write a prompt's logits as f32 little-endian [positions][vocab]");
  command->add_option("--model", options->model, "GGUF file, or a model's folder")->required();
  command->add_option("--ids", options->ids, "Token ids of the whole prompt: 1,2,3")->required();
  command->add_option("--positions", options->positions, "all, or last:N")->capture_default_str();
  command->add_option("--out", options->out, "File to write")->required();
  command
      ->add_option("--backend", options->backend.kind,
                   "auto, cpu, hip, or hip-lanes: GPU kernels on the CPU, to test")
      ->capture_default_str();
  command->add_flag("--exact", options->backend.exact,
                    "Reference kernels in f32 on the file's own blocks (slow)");
  command->add_option("--threads", options->backend.n_threads, "CPU threads; 0 = one per physical core")
      ->capture_default_str();
  command->add_option("--chunk", options->chunk, "Tokens per step; the result does not depend on it")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command->callback([options] { run(*options); });
}

}  // namespace halod::bench

// halo-bench speed: prefill (pp) and decode (tg) of one sequence, as llama-bench measures them, next to the
// memory bandwidth of the same run.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <random>
#include <string>

#include "base/cpu_features.h"
#include "bench/command.h"
#include "bench/loaded_model.h"
#include "bench/read_bandwidth.h"

namespace halod::bench {
namespace {

struct SpeedOptions {
  std::string model;
  int64_t n_prompt = 512, n_generate = 64, depth = 0, repeats = 5, chunk = 512;
  BackendOptions backend;
  bool json = false;
  std::string tuning_directory;
};

struct SpeedResults {
  double load_seconds = 0;
  uint64_t weight_bytes = 0, kv_bytes = 0, weight_bytes_per_token = 0, kv_bytes_per_token = 0;
  double prefill_tokens_per_s = 0, decode_tokens_per_s = 0, read_gb_per_s = 0;
  uint64_t peak_rss_bytes = 0;
  std::string device;

  double decode_gb_per_s() const {
    return decode_tokens_per_s * static_cast<double>(weight_bytes_per_token + kv_bytes_per_token) / 1e9;
  }
  double decode_percent_of_bandwidth() const {
    return read_gb_per_s > 0 ? 100.0 * decode_gb_per_s() / read_gb_per_s : 0;
  }
};

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

uint64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

SpeedResults measure(const SpeedOptions& options) {
  SpeedResults results;
  std::unique_ptr<LoadedModel> model;
  results.load_seconds = seconds_of([&] {
    const int64_t context = options.depth + options.n_prompt + options.n_generate + 1;
    model = std::make_unique<LoadedModel>(LoadOptions{.path = options.model,
                                                      .backend = options.backend,
                                                      .context_length = context,
                                                      .max_batch_tokens = options.chunk,
                                                      .tuning_directory = options.tuning_directory,
                                                      .callbacks = terminal_progress()});
  });
  const ModelConfig& config = model->config();
  results.device = model->backend().device_name();
  results.weight_bytes = model->model().weight_bytes();
  results.weight_bytes_per_token = model->model().weight_bytes_per_token();
  results.kv_bytes = model->model().kv_page_bytes() * static_cast<uint64_t>(model->model().n_kv_pages());
  // The mean length while generating; a page's share of each token read.
  results.kv_bytes_per_token = model->model().kv_page_bytes() / kKvPageTokens *
                               static_cast<uint64_t>(options.depth + options.n_generate / 2);

  // Natural text repeats itself and so routes to fewer experts; uniform ids are the harder case for a mixture
  // of experts.
  std::mt19937 generator(42);
  const auto random_ids = [&](int64_t n) {
    std::vector<TokenId> ids;
    for (int64_t i = 0; i < n; ++i)
      ids.push_back(static_cast<TokenId>(generator() % static_cast<uint32_t>(config.vocab_size)));
    return ids;
  };
  if (options.depth > 0) model->append(random_ids(options.depth));
  const auto prefill = [&] {
    if (options.n_prompt > 0) model->append(random_ids(options.n_prompt));
    model->rewind(options.depth);
  };
  const auto decode = [&] {
    for (int64_t i = 0; i < options.n_generate; ++i) model->append(random_ids(1));
    model->rewind(options.depth);
  };
  prefill();
  decode();
  results.peak_rss_bytes = peak_rss_bytes();  // before the bandwidth test's own buffer

  const int n_threads = options.backend.n_threads;
  ReadBandwidth bandwidth(n_threads);
  bandwidth.measure_gb_per_s();
  std::vector<double> prefill_rates, decode_rates, bandwidths;
  // The three alternate, because a shared machine drifts: percentages compare what was measured side by side.
  for (int64_t i = 0; i < options.repeats; ++i) {
    bandwidths.push_back(bandwidth.measure_gb_per_s());
    if (options.n_generate > 0)
      decode_rates.push_back(static_cast<double>(options.n_generate) / seconds_of(decode));
    bandwidths.push_back(bandwidth.measure_gb_per_s());
    if (options.n_prompt > 0)
      prefill_rates.push_back(static_cast<double>(options.n_prompt) / seconds_of(prefill));
  }
  results.prefill_tokens_per_s = median(prefill_rates);
  results.decode_tokens_per_s = median(decode_rates);
  results.read_gb_per_s = median(bandwidths);
  return results;
}

void print_json(const SpeedOptions& options, const SpeedResults& r) {
  const boost::json::object out = {{"model", options.model},
                                   {"device", r.device},
                                   {"threads", options.backend.n_threads},
                                   {"n_prompt", options.n_prompt},
                                   {"n_generate", options.n_generate},
                                   {"depth", options.depth},
                                   {"repeats", options.repeats},
                                   {"load_seconds", r.load_seconds},
                                   {"prefill_tokens_per_s", r.prefill_tokens_per_s},
                                   {"decode_tokens_per_s", r.decode_tokens_per_s},
                                   {"decode_gb_per_s", r.decode_gb_per_s()},
                                   {"read_gb_per_s", r.read_gb_per_s},
                                   {"decode_percent_of_bandwidth", r.decode_percent_of_bandwidth()},
                                   {"weight_bytes", r.weight_bytes},
                                   {"kv_bytes", r.kv_bytes},
                                   {"weight_bytes_per_token", r.weight_bytes_per_token},
                                   {"peak_rss_bytes", r.peak_rss_bytes}};
  fmt::print("{}\n", boost::json::serialize(out));
}

void print_table(const SpeedOptions& options, const SpeedResults& r) {
  constexpr double kMega = 1e6;
  fmt::print("{}\n{}\n", options.model, r.device);
  fmt::print(
      "weights {:.0f} MB ({:.0f} MB read per token), KV {:.0f} MB, peak memory {:.0f} MB, loaded in {:.2f} "
      "s\n",
      static_cast<double>(r.weight_bytes) / kMega, static_cast<double>(r.weight_bytes_per_token) / kMega,
      static_cast<double>(r.kv_bytes) / kMega, static_cast<double>(r.peak_rss_bytes) / kMega, r.load_seconds);
  fmt::print("| {:<14} | {:>10} | {:>8} | {:>14} |\n", "test", "tok/s", "GB/s", "% of bandwidth");
  fmt::print("|{:-<16}|{:->12}|{:->10}|{:->16}|\n", "", ":", ":", ":");
  const std::string at_depth = options.depth > 0 ? fmt::format(" @{}", options.depth) : "";
  if (options.n_prompt > 0) {
    fmt::print("| {:<14} | {:>10.1f} | {:>8} | {:>14} |\n", fmt::format("pp{}{}", options.n_prompt, at_depth),
               r.prefill_tokens_per_s, "", "");
  }
  if (options.n_generate > 0) {
    fmt::print("| {:<14} | {:>10.1f} | {:>8.1f} | {:>14.0f} |\n",
               fmt::format("tg{}{}", options.n_generate, at_depth), r.decode_tokens_per_s,
               r.decode_gb_per_s(), r.decode_percent_of_bandwidth());
  }
  fmt::print("| {:<14} | {:>10} | {:>8.1f} | {:>14} |\n", "memory read", "", r.read_gb_per_s, "100");
}

void run(SpeedOptions options) {
  // The bandwidth is measured with the same number of threads as the model uses.
  if (options.backend.n_threads == 0) options.backend.n_threads = default_cpu_threads();
  const SpeedResults results = measure(options);
  options.json ? print_json(options, results) : print_table(options, results);
}

}  // namespace

void add_speed_command(CLI::App& app) {
  auto options = std::make_shared<SpeedOptions>();
  CLI::App* command =
      app.add_subcommand("speed", "Measure prefill and decode; medians, beside the memory's read bandwidth");
  command->add_option("--model,-m", options->model, "GGUF file, or a model's folder")->required();
  command->add_option("--prompt,-p", options->n_prompt, "Prompt tokens of pp; 0 = skip")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 20));
  command->add_option("--generate,-n", options->n_generate, "Tokens of tg; 0 = skip")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 20));
  command->add_option("--depth,-d", options->depth, "Tokens already in the cache")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 20));
  command->add_option("--repeats,-r", options->repeats, "Measurements of each; the median is printed")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_option("--chunk", options->chunk, "Tokens per prefill step")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 16));
  command->add_option("--threads,-t", options->backend.n_threads, "CPU threads; 0 = one per physical core")
      ->capture_default_str();
  command
      ->add_option("--backend", options->backend.kind,
                   "auto, cpu, hip, or hip-lanes: GPU kernels on the CPU, to test")
      ->capture_default_str();
  command->add_option("--tuning", options->tuning_directory,
                      "Directory with results of haloctl tune to use (default: none, untuned)");
  command->add_flag("--json", options->json, "One JSON object instead of the table");
  command->callback([options] { run(*options); });
}

}  // namespace halod::bench

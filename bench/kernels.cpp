// halo-bench kernels: how fast one core multiplies each weight format, next to how fast it reads memory.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "base/cpu_features.h"
#include "base/mapped_memory.h"
#include "bench/command.h"
#include "bench/random_weights.h"
#include "bench/read_bandwidth.h"
#include "kernels/cpu/tile_layout.h"
#include "kernels/ops/matmul.h"
#include "kernels/ops/reference.h"

namespace halod::bench {
namespace {

struct KernelsOptions {
  int64_t rows = 65536, cols = 2048, n_tokens = 32;
  int repeats = 10;
  bool all = false, json = false;
};

struct KernelSpeed {
  const MatmulVariant* variant;
  const FormatTraits* format;
  double one_token_seconds, tokens_seconds;  // the best: other programs only take from it
};

/// Random activations in both forms.
class TestActivations {
 public:
  TestActivations(int64_t n_rows, int64_t cols)
      : values_(static_cast<size_t>(n_rows * cols)),
        codes_(values_.size()),
        scales_(values_.size() / kActivationGroup),
        scaled_sums_(scales_.size()),
        negated_sums_(2 * scales_.size()) {
    const RandomWeights random({.name = "x", .format = Format::kF32, .shape = {n_rows, cols}}, 1);
    random.fill(0, n_rows, std::as_writable_bytes(std::span(values_)));
    view_ = {.values = {values_.data(), n_rows, cols},
             .codes = codes_.data(),
             .scales = scales_.data(),
             .scaled_sums = scaled_sums_.data(),
             .negated_sums16 = negated_sums_.data()};
    reference::quantize_activations(
        {view_.values, codes_.data(), scales_.data(), scaled_sums_.data(), negated_sums_.data()});
  }
  const Activations& view() const { return view_; }

 private:
  std::vector<float> values_;
  std::vector<int8_t> codes_;
  std::vector<float> scales_, scaled_sums_;
  std::vector<int32_t> negated_sums_;
  Activations view_;
};

MappedMemory random_matrix(const FormatTraits& format, WeightLayout layout, const KernelsOptions& options) {
  const RandomWeights random({.name = "w", .format = format.format, .shape = {options.rows, options.cols}},
                             1);
  const int64_t row_bytes = format.row_bytes(options.cols);
  MappedMemory file = MappedMemory::allocate(static_cast<size_t>(options.rows * row_bytes)).value();
  random.fill(0, options.rows, file.bytes());
  if (layout == WeightLayout::kRows) return file;
  const TileLayout& tiles = *find_tile_layout(format.format);
  const int64_t n_bytes = tiles.matrix_bytes(options.rows, options.cols);
  MappedMemory packed = MappedMemory::allocate(static_cast<size_t>(n_bytes)).value();
  for (int64_t row = 0; row < options.rows; row += kTileRows) {
    tiles.pack(file.data() + row * row_bytes, row_bytes, std::min(kTileRows, options.rows - row),
               options.cols, packed.data() + row / kTileRows * tiles.tile_bytes(options.cols));
  }
  return packed;
}

KernelSpeed measure(const MatmulVariant& variant, const FormatTraits& format, const TestActivations& x,
                    const KernelsOptions& options) {
  const MappedMemory matrix = random_matrix(format, variant.layout, options);
  std::vector<float> y(static_cast<size_t>(options.n_tokens * options.rows));
  const auto best_seconds = [&](int64_t n_tokens) {
    double best = std::numeric_limits<double>::infinity();
    for (int i = 0; i < options.repeats; ++i) {
      const auto start = std::chrono::steady_clock::now();
      variant.run({.weight = {format.format, variant.layout, matrix.data(), options.rows, options.cols},
                   .n_rows = options.rows,
                   .x = x.view(),
                   .n_tokens = n_tokens,
                   .y = {y.data(), n_tokens, options.rows}});
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
      best = std::min(best, elapsed.count());
    }
    return best;
  };
  return {&variant, &format, best_seconds(1), best_seconds(options.n_tokens)};
}

/// The row that the backend takes for each format, or every row that this CPU runs.
std::vector<KernelSpeed> measure_all(const KernelsOptions& options,
                                     const std::function<void()>& before_each) {
  const TestActivations x(options.n_tokens, options.cols);
  std::vector<KernelSpeed> speeds;
  for (const MatmulVariant& variant : matmul_variants()) {
    for (const FormatTraits& format : all_formats()) {
      const bool is_chosen = select_matmul(format.format, options.cols, false) == &variant;
      const bool is_wanted = is_chosen || (options.all && runs_on(variant.isa, cpu_features()) &&
                                           variant.supports(format.format, options.cols));
      if (!is_wanted) continue;
      before_each();
      speeds.push_back(measure(variant, format, x, options));
    }
  }
  return speeds;
}

void run(const KernelsOptions& options) {
  ReadBandwidth bandwidth(1);
  double read_gb_per_s = 0;
  // Between the kernels, because what neighbours leave of the memory changes.
  const std::vector<KernelSpeed> speeds =
      measure_all(options, [&] { read_gb_per_s = std::max(read_gb_per_s, bandwidth.measure_gb_per_s()); });

  const double n_weights = static_cast<double>(options.rows * options.cols);
  boost::json::array rows;
  if (!options.json) {
    fmt::print("{} x {} weights, one core of {}, which reads {:.1f} GB/s\n", options.rows, options.cols,
               cpu_model_name(), read_gb_per_s);
    fmt::print("{:<22} {:<8} {:>12} {:>8} {:>8} {:>26}\n", "variant", "format", "1 token, G/s", "GB/s",
               "% read", fmt::format("{} tokens, G products/s", options.n_tokens));
  }
  for (const KernelSpeed& speed : speeds) {
    const double bytes = static_cast<double>(options.rows * speed.format->row_bytes(options.cols));
    const double weights_per_s = n_weights / speed.one_token_seconds;
    const double gb_per_s = bytes / speed.one_token_seconds / 1e9;
    const double products_per_s = n_weights * static_cast<double>(options.n_tokens) / speed.tokens_seconds;
    if (!options.json) {
      fmt::print("{:<22} {:<8} {:>12.1f} {:>8.1f} {:>8.0f} {:>26.1f}\n", speed.variant->name,
                 speed.format->name, weights_per_s / 1e9, gb_per_s, 100 * gb_per_s / read_gb_per_s,
                 products_per_s / 1e9);
      continue;
    }
    boost::json::object row;
    row["variant"] = speed.variant->name;
    row["format"] = speed.format->name;
    row["one_token_weights_per_s"] = weights_per_s;
    row["one_token_gb_per_s"] = gb_per_s;
    row["products_per_s"] = products_per_s;
    rows.push_back(std::move(row));
  }
  if (!options.json) return;
  boost::json::object out;
  out["device"] = cpu_model_name();
  out["rows"] = options.rows;
  out["cols"] = options.cols;
  out["tokens"] = options.n_tokens;
  out["read_gb_per_s"] = read_gb_per_s;
  out["kernels"] = std::move(rows);
  fmt::print("{}\n", boost::json::serialize(out));
}

}  // namespace

void add_kernels_command(CLI::App& app) {
  auto options = std::make_shared<KernelsOptions>();
  CLI::App* command =
      app.add_subcommand("kernels", "Measure one core's matrix products for every weight format");
  command->add_option("--rows", options->rows, "Rows of the matrix; enough to exceed the caches")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  command->add_option("--cols", options->cols, "Columns, in units of 256")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{256}, int64_t{1} << 16))
      ->check([](const std::string& value) {
        return std::stoll(value) % 256 == 0 ? std::string() : "must be a multiple of 256, not " + value;
      });
  command->add_option("--tokens", options->n_tokens, "Tokens of the second measurement")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{4096}));
  command->add_option("--repeats,-r", options->repeats, "Times that each is measured; the best counts")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_flag("--all", options->all,
                    "Every kernel that this CPU runs, the reference too, instead of each format's best");
  command->add_flag("--json", options->json, "One JSON object instead of the table");
  command->callback([options] { run(*options); });
}

}  // namespace halod::bench

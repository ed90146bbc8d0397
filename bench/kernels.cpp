// halo-bench kernels: how fast one core multiplies each weight format in each shape, next to how fast it
// reads memory and multiplies at most.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <cstdio>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "base/mapped_memory.h"
#include "base/thread_pool.h"
#include "bench/command.h"
#include "bench/random_weights.h"
#include "bench/read_bandwidth.h"
#include "kernels/cpu/tile_layout.h"
#include "kernels/ops/matmul.h"
#include "kernels/ops/peak.h"
#include "kernels/ops/reference.h"
#include "runtime/backend/backend.h"

namespace halod::bench {
namespace {

struct Shape {
  int64_t rows = 0, cols = 0;
};

struct KernelsOptions {
  int64_t rows = 65536, cols = 2048, n_tokens = 32;
  std::vector<std::string> shapes;   ///< "ROWSxCOLS"; empty: rows x cols
  std::vector<std::string> formats;  ///< empty: every one
  int repeats = 10;
  bool all = false, json = false;

  std::vector<Shape> all_shapes() const {
    if (shapes.empty()) return {{rows, cols}};
    std::vector<Shape> parsed;
    for (const std::string& shape : shapes)
      parsed.push_back({std::stoll(shape), std::stoll(shape.substr(shape.find('x') + 1))});
    return parsed;
  }
};

struct KernelSpeed {
  const MatmulVariant* variant;
  const FormatTraits* format;
  Shape shape;
  double one_token_seconds, tokens_seconds;  // the best: other programs only take from it

  double weights() const { return static_cast<double>(shape.rows * shape.cols); }
  double gb_per_s() const {
    return static_cast<double>(shape.rows * format->row_bytes(shape.cols)) / one_token_seconds / 1e9;
  }
  double products_per_s(int64_t n_tokens) const {
    return weights() * static_cast<double>(n_tokens) / tokens_seconds;
  }
};

/// What bounds a core.
struct CorePeaks {
  double read_gb_per_s = 0;
  double integer_products_per_s = 0, float_products_per_s = 0;
  int n_threads = 1;
  double region_seconds = 0;  ///< what it costs to share work among n_threads and wait for all of them

  double products_per_s(const MatmulVariant& variant) const {
    return variant.needs_codes ? integer_products_per_s : float_products_per_s;
  }
};

/// The best of several runs of a few milliseconds, of the best row that this CPU runs.
double peak_products_per_s(std::span<const KernelVariant<PeakArgs>> variants, int64_t products_per_round) {
  const auto row = std::find_if(variants.begin(), variants.end(),
                                [](const auto& variant) { return runs_on(variant.isa, cpu_features()); });
  constexpr int64_t kRounds = 20000;
  float result[16];
  double best = 0;
  for (int i = 0; i < 7; ++i) {
    const auto start = std::chrono::steady_clock::now();
    row->run({kRounds, result});
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(kRounds * products_per_round) / elapsed.count());
  }
  return best;
}

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

double region_seconds(int n_threads) {
  ThreadPool threads(n_threads);
  constexpr int kRegions = 2000;
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 7; ++i) {
    const auto start = std::chrono::steady_clock::now();
    for (int region = 0; region < kRegions; ++region) threads.run([](int, int) {});
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    best = std::min(best, elapsed.count() / kRegions);
  }
  return best;
}

MappedMemory random_matrix(const FormatTraits& format, WeightLayout layout, Shape shape) {
  const RandomWeights random({.name = "w", .format = format.format, .shape = {shape.rows, shape.cols}}, 1);
  const int64_t row_bytes = format.row_bytes(shape.cols);
  MappedMemory file = MappedMemory::allocate(static_cast<size_t>(shape.rows * row_bytes)).value();
  random.fill(0, shape.rows, file.bytes());
  if (layout == WeightLayout::kRows) return file;
  const TileLayout& tiles = *find_tile_layout(format.format);
  const int64_t n_bytes = tiles.matrix_bytes(shape.rows, shape.cols);
  MappedMemory packed = MappedMemory::allocate(static_cast<size_t>(n_bytes)).value();
  for (int64_t row = 0; row < shape.rows; row += kTileRows) {
    tiles.pack(file.data() + row * row_bytes, row_bytes, std::min(kTileRows, shape.rows - row), shape.cols,
               packed.data() + row / kTileRows * tiles.tile_bytes(shape.cols));
  }
  return packed;
}

/// Several matrices where one is small, taken in turn, so that the caches do not hold what memory holds in a
/// model.
KernelSpeed measure(const MatmulVariant& variant, const FormatTraits& format, Shape shape,
                    const TestActivations& x, const KernelsOptions& options) {
  constexpr int64_t kMoreThanCaches = int64_t{64} << 20;
  const int64_t matrix_bytes = shape.rows * format.row_bytes(shape.cols);
  const int64_t n_matrices = std::clamp<int64_t>(kMoreThanCaches / matrix_bytes, 1, 64);
  std::vector<MappedMemory> matrices;
  for (int64_t i = 0; i < n_matrices; ++i) matrices.push_back(random_matrix(format, variant.layout, shape));
  std::vector<float> y(static_cast<size_t>(options.n_tokens * shape.rows));
  const auto best_seconds = [&](int64_t n_tokens) {
    double best = std::numeric_limits<double>::infinity();
    for (int i = 0; i < options.repeats; ++i) {
      const auto start = std::chrono::steady_clock::now();
      for (const MappedMemory& matrix : matrices) {
        variant.run({.weight = {format.format, variant.layout, matrix.data(), shape.rows, shape.cols},
                     .n_rows = shape.rows,
                     .x = x.view(),
                     .n_tokens = n_tokens,
                     .y = {y.data(), n_tokens, shape.rows}});
      }
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
      best = std::min(best, elapsed.count() / static_cast<double>(n_matrices));
    }
    return best;
  };
  return {&variant, &format, shape, best_seconds(1), best_seconds(options.n_tokens)};
}

/// The row that the backend takes untuned for each format, or every row that this CPU runs.
std::vector<KernelSpeed> measure_all(const KernelsOptions& options,
                                     const std::function<void()>& before_each) {
  std::vector<KernelSpeed> speeds;
  for (const Shape shape : options.all_shapes()) {
    const TestActivations x(options.n_tokens, shape.cols);
    for (const MatmulVariant& variant : matmul_variants()) {
      for (const FormatTraits& format : all_formats()) {
        const bool is_chosen = select_matmul(format.format, shape.cols, false) == &variant;
        const bool is_wanted = is_chosen || (options.all && runs_on(variant.isa, cpu_features()) &&
                                             variant.supports(format.format, shape.cols));
        const bool is_asked_for =
            options.formats.empty() ||
            std::find(options.formats.begin(), options.formats.end(), format.name) != options.formats.end();
        if (!is_wanted || !is_asked_for) continue;
        before_each();
        speeds.push_back(measure(variant, format, shape, x, options));
      }
    }
  }
  return speeds;
}

void print_table(const KernelsOptions& options, const CorePeaks& peaks,
                 const std::vector<KernelSpeed>& speeds) {
  constexpr double kGiga = 1e9;
  fmt::print(
      "one core of {}: reads {:.1f} GB/s; multiplies {:.0f} G/s in 8-bit integers, {:.0f} G/s in f32\n",
      cpu_model_name(), peaks.read_gb_per_s, peaks.integer_products_per_s / kGiga,
      peaks.float_products_per_s / kGiga);
  fmt::print("a parallel region of {} threads costs {:.2f} us\n", peaks.n_threads,
             1e6 * peaks.region_seconds);
  const std::string tokens = fmt::format("{} tokens, ms", options.n_tokens);
  fmt::print("{:<33} {:<8} {:>12} {:>12} {:>7} {:>7} {:>14} {:>9} {:>7}\n", "variant", "format",
             "rows x cols", "1 token, ms", "GB/s", "% read", tokens, "GFLOP/s", "% peak");
  for (const KernelSpeed& speed : speeds) {
    const double products = speed.products_per_s(options.n_tokens);
    fmt::print("{:<33} {:<8} {:>12} {:>12.3f} {:>7.1f} {:>7.0f} {:>14.3f} {:>9.1f} {:>7.0f}\n",
               speed.variant->name, speed.format->name,
               fmt::format("{}x{}", speed.shape.rows, speed.shape.cols), 1e3 * speed.one_token_seconds,
               speed.gb_per_s(), 100 * speed.gb_per_s() / peaks.read_gb_per_s, 1e3 * speed.tokens_seconds,
               2 * products / kGiga, 100 * products / peaks.products_per_s(*speed.variant));
  }
}

void print_json(const KernelsOptions& options, const CorePeaks& peaks,
                const std::vector<KernelSpeed>& speeds) {
  boost::json::array rows;
  for (const KernelSpeed& speed : speeds) {
    boost::json::object row;
    row["variant"] = speed.variant->name;
    row["format"] = speed.format->name;
    row["rows"] = speed.shape.rows;
    row["cols"] = speed.shape.cols;
    row["one_token_seconds"] = speed.one_token_seconds;
    row["one_token_weights_per_s"] = speed.weights() / speed.one_token_seconds;
    row["one_token_gb_per_s"] = speed.gb_per_s();
    row["tokens_seconds"] = speed.tokens_seconds;
    row["products_per_s"] = speed.products_per_s(options.n_tokens);
    row["percent_of_peak"] =
        100 * speed.products_per_s(options.n_tokens) / peaks.products_per_s(*speed.variant);
    rows.push_back(std::move(row));
  }
  boost::json::object out;
  out["device"] = cpu_model_name();
  out["tokens"] = options.n_tokens;
  out["read_gb_per_s"] = peaks.read_gb_per_s;
  out["integer_products_per_s"] = peaks.integer_products_per_s;
  out["float_products_per_s"] = peaks.float_products_per_s;
  out["threads"] = peaks.n_threads;
  out["region_seconds"] = peaks.region_seconds;
  out["kernels"] = std::move(rows);
  fmt::print("{}\n", boost::json::serialize(out));
}

void run(const KernelsOptions& options) {
  ReadBandwidth bandwidth(1);
  CorePeaks peaks{
      .integer_products_per_s = peak_products_per_s(integer_peak_variants(), kIntegerProductsPerRound),
      .float_products_per_s = peak_products_per_s(float_peak_variants(), kFloatProductsPerRound),
      .n_threads = default_cpu_threads()};
  peaks.region_seconds = region_seconds(peaks.n_threads);
  // Between the kernels, because what neighbours leave of the memory changes.
  const std::vector<KernelSpeed> speeds = measure_all(
      options, [&] { peaks.read_gb_per_s = std::max(peaks.read_gb_per_s, bandwidth.measure_gb_per_s()); });
  options.json ? print_json(options, peaks, speeds) : print_table(options, peaks, speeds);
}

/// Why "ROWSxCOLS" cannot be measured; empty when it can.
std::string problem_of_shape(const std::string& shape) {
  int64_t rows = 0, cols = 0;
  char end = 0;
  if (std::sscanf(shape.c_str(), "%ldx%ld%c", &rows, &cols, &end) != 2)
    return "must be ROWSxCOLS, as in 768x2048, not " + shape;
  if (rows < 1 || rows > int64_t{1} << 20)
    return fmt::format("has {} rows; 1 to {} can be measured", rows, int64_t{1} << 20);
  if (cols < 256 || cols > int64_t{1} << 16 || cols % 256 != 0)
    return fmt::format("has {} columns; multiples of 256 up to {} can be measured", cols, int64_t{1} << 16);
  return {};
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
  command
      ->add_option("--shape", options->shapes,
                   "ROWSxCOLS instead of the two above; again for more, as a model's: 768x2048 2048x768")
      ->check(problem_of_shape);
  std::vector<std::string> formats;
  for (const FormatTraits& format : all_formats()) formats.emplace_back(format.name);
  command->add_option("--format", options->formats, "These formats alone: Q4_K Q6_K")
      ->check(CLI::IsMember(formats));
  command->add_option("--tokens", options->n_tokens, "Tokens of the second measurement")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{4096}));
  command->add_option("--repeats,-r", options->repeats, "Times that each is measured; the best counts")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_flag("--all", options->all,
                    "Every variant that this CPU runs, the reference too, instead of each format's first");
  command->add_flag("--json", options->json, "One JSON object instead of the table");
  command->callback([options] { run(*options); });
}

}  // namespace halod::bench

#include "runtime/backend/hip/product_trial.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "kernels/hip/weight_layout.h"
#include "runtime/backend/hip/kernel_checks.h"
#include "runtime/backend/hip/rounding.h"

namespace halod::hip {
namespace {

/// A run is long enough for the start of a launch to matter little.
constexpr double kShortestRun = 500e-6;
constexpr int64_t kMostRepeats = 64;
constexpr int64_t kDifferentRowsOfX = 64;

GatedActivation activation_of(Product product) {
  return product == Product::kUp ? GatedActivation::kSquaredRelu : GatedActivation::kSwiglu;
}

/// check_values() over and over: a million of them would take longer than what is measured.
std::vector<float> repeated_values(int64_t n_rows, int64_t cols) {
  const std::vector<float> some = check_values(std::min(n_rows, kDifferentRowsOfX) * cols, 2);
  std::vector<float> all(static_cast<size_t>(n_rows * cols));
  for (size_t i = 0; i < all.size(); i += some.size())
    std::copy_n(some.begin(), std::min(some.size(), all.size() - i),
                all.begin() + static_cast<std::ptrdiff_t>(i));
  return all;
}

ActivationRows rows_behind(const ActivationRows& x, int64_t row, int64_t cols) {
  return {x.values + row * cols, x.codes + row * cols, x.groups + row * (cols / kGroupColumns)};
}

}  // namespace

Result<ProductWeights> ProductWeights::make(Device& device, Format format, int64_t cols, int64_t n_bytes) {
  const RowLayout& layout = *find_row_layout(format);
  const FormatTraits& f = traits(format);
  ProductWeights weights;
  weights.format_ = format;
  weights.cols_ = cols;
  weights.row_bytes_ = layout.row_bytes(cols);
  const int64_t unit_bytes = kRows * weights.row_bytes_;
  const int64_t n_units = std::max<int64_t>(2, std::min(n_bytes, kMaxBytes) / unit_bytes);
  weights.n_rows_ = n_units * kRows;
  auto memory = DeviceMemory::allocate(device, static_cast<uint64_t>(n_units * unit_bytes));
  if (!memory) return memory.error();
  auto staging = PinnedMemory::allocate(device, static_cast<uint64_t>(unit_bytes));
  if (!staging) return staging.error();
  const std::vector<float> values = check_values(kRows * cols, 1);
  std::vector<std::byte> blocks(static_cast<size_t>(f.row_bytes(cols)));
  for (int64_t row = 0; row < kRows; ++row) {
    f.quantize(values.data() + row * cols, cols, blocks.data());
    layout.pack_row(blocks.data(), cols, staging->data() + row * weights.row_bytes_);
  }
  for (int64_t unit = 0; unit < n_units; ++unit)
    device.copy_to_device(memory->data() + unit * unit_bytes, staging->data(),
                          static_cast<uint64_t>(unit_bytes));
  device.synchronize();
  weights.memory_ = std::move(*memory);
  return weights;
}

WeightRows ProductWeights::matrices(int64_t first_row, int64_t rows) const {
  return {.data = memory_.data() + first_row * row_bytes_,
          .expert_bytes = static_cast<uint64_t>(rows * row_bytes_),
          .row_bytes = static_cast<int32_t>(row_bytes_),
          .rows = static_cast<int32_t>(rows),
          .cols = static_cast<int32_t>(cols_),
          .format = static_cast<int32_t>(format_)};
}

std::string why_wrong(Device& device, const ProductShape& shape, const PromptTile& tile) {
  const auto cols = static_cast<int>(shape.cols);
  // A whole tile and a part of the next one, of weight rows and of rows of x.
  const int rows = tile.weight_rows + kGroupColumns, n_tokens = tile.rows() + 4;
  PromptExpertsShape experts{.n_experts = 2,
                             .n_per_token = 1,
                             .n_tokens = n_tokens,
                             .routing = Routing::kUneven,
                             .activation = activation_of(shape.product)};
  KernelChecks checks;
  if (shape.product != Product::kLinear) {
    experts.gate = experts.up = shape.format;
    experts.down = Format::kQ8_0;
    experts.hidden_size = cols;
    experts.width = rows;
    checks = check_prompt_experts(device, experts, prompt_linear_tiles(WeightKind::kQuantised).front(), tile);
  } else if (shape.has_experts()) {
    experts.gate = experts.up = Format::kQ8_0;
    experts.down = shape.format;
    experts.hidden_size = rows;
    experts.width = cols;
    checks =
        check_prompt_experts(device, experts, tile, prompt_gate_up_tiles(WeightKind::kQuantised).front());
  } else {
    checks = check_prompt_linear(
        device, {.formats = {shape.format}, .rows = rows, .cols = cols, .n_tokens = n_tokens}, tile);
  }
  for (const KernelCheck& check : checks) {
    if (!check.passed())
      return fmt::format("the check '{}' finds an error of {:.1e}; {:.0e} is the limit", check.what,
                         check.nmse, check.bound);
  }
  return {};
}

ProductTrial::ProductTrial(Device& device, const ProductWeights& weights, KnownProblems& problems,
                           Setup setup)
    : device_(device),
      weights_(weights),
      problems_(problems),
      setup_(std::move(setup)),
      n_tokens_(kPromptClassesOfTokens[setup_.tokens_class].typical),
      rounds_(setup_.ways.size()) {
  cut_to_size();
  const bool reads_tokens = !setup_.shape.has_experts() || !is_linear();
  const int64_t n_x =
      reads_tokens ? (n_slots_ + setup_.shape.n_per_token - 1) / setup_.shape.n_per_token : n_slots_;
  const auto cols = static_cast<int>(setup_.shape.cols);
  x_.emplace(device_, static_cast<int>(n_x), cols);
  x_->write(repeated_values(n_x, cols));
  if (cols % kGroupColumns == 0) x_->quantise(device_);
  if (is_linear()) {
    y_.emplace(device_, n_slots_ * rows_);
  } else {
    h_.emplace(device_, static_cast<int>(n_slots_), static_cast<int>(rows_));
  }
  if (setup_.shape.has_experts()) route();
}

/// As much of the product as the device does in some milliseconds, and as there are weights for.
void ProductTrial::cut_to_size() {
  const ProductShape& shape = setup_.shape;
  const int64_t multiple = 2 * kGateUpTileRows, room = weights_.n_rows() / n_halves();
  const double most = device_.info().operations_at_once;
  const double per_row = 2.0 * static_cast<double>(shape.cols * n_halves());
  const double slots_per_expert =
      static_cast<double>(n_tokens_ * shape.n_per_token) / static_cast<double>(shape.n_experts);
  const double rows_that_fit = most / (per_row * std::max(1.0, slots_per_expert));
  rows_ = std::min(
      {setup_.rows, room, std::max(multiple, static_cast<int64_t>(rows_that_fit) / multiple * multiple)});
  rows_ = std::max<int64_t>(rows_ / kGroupColumns * kGroupColumns, kGroupColumns);
  n_slots_ = n_tokens_;
  if (!shape.has_experts()) return;
  n_experts_ = std::clamp<int64_t>(
      std::min(room / rows_, static_cast<int64_t>(rows_that_fit / static_cast<double>(rows_))), 1,
      shape.n_experts);
  n_slots_ = std::max<int64_t>(
      1, static_cast<int64_t>(std::lround(slots_per_expert * static_cast<double>(n_experts_))));
}

/// Slots to experts by chance, as group_slots sorts them.
void ProductTrial::route() {
  std::mt19937 generator(3);
  std::vector<int32_t> experts(static_cast<size_t>(n_slots_)), order(experts.size()), offsets;
  for (int32_t& expert : experts)
    expert = static_cast<int32_t>(generator() % static_cast<uint32_t>(n_experts_));
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](int32_t slot) { return experts[static_cast<size_t>(slot)]; });
  std::ranges::sort(experts);
  for (int32_t e = 0; e <= n_experts_; ++e)
    offsets.push_back(static_cast<int32_t>(std::ranges::lower_bound(experts, e) - experts.begin()));
  offsets_.emplace(device_, offsets);
  order_.emplace(device_, order);
}

RowGroups ProductTrial::groups() const {
  if (!offsets_) return {.n_experts = 1, .n_rows = static_cast<int32_t>(n_slots_), .rows_per_x = 1};
  return {.offsets = offsets_->data(),
          .order = order_->data(),
          .n_experts = static_cast<int32_t>(n_experts_),
          .n_rows = static_cast<int32_t>(n_slots_),
          .rows_per_x = is_linear() ? 1 : static_cast<int32_t>(setup_.shape.n_per_token)};
}

void ProductTrial::launch_linear(const ProductWay& way, const WeightRows& weights) {
  const auto cols = setup_.shape.cols;
  if (way.tile) {
    const auto n_tiles = static_cast<int32_t>(divided_up(rows_, way.tile->weight_rows));
    const RowGroups of = groups();
    launch(device_, way.tile->kernel,
           {.x = n_tiles, .y = prompt_row_tiles(of.n_rows, of.n_experts, way.tile->rows())},
           way.tile->shared_bytes(),
           PromptLinearArgs{.weights = {weights},
                            .y = {y_->data()},
                            .first_tile = {0, n_tiles},
                            .n_matrices = 1,
                            .x = x_->rows(),
                            .groups = of});
    return;
  }
  const auto n_tiles = static_cast<int32_t>(divided_up(rows_, kLinearTileRows));
  for (int64_t row = 0; row < n_slots_; row += kMaxLinearTokens) {
    const auto n = static_cast<int32_t>(std::min<int64_t>(kMaxLinearTokens, n_slots_ - row));
    launch(device_, linear_kernel(n), {.x = n_tiles}, 0,
           LinearArgs{.weights = {weights},
                      .y = {y_->data() + row * rows_},
                      .first_tile = {0, n_tiles},
                      .n_matrices = 1,
                      .n_tokens = n,
                      .x = rows_behind(x_->rows(), row, cols)});
  }
}

void ProductTrial::launch_gate_up(const ProductWay& way, const WeightRows& gate, const WeightRows& up) {
  const GatedActivation activation = activation_of(setup_.shape.product);
  if (way.tile) {
    const RowGroups of = groups();
    launch(device_, way.tile->kernel,
           {.x = divided_up(rows_, prompt_gate_up_columns(activation)),
            .y = prompt_row_tiles(of.n_rows, of.n_experts, way.tile->rows())},
           way.tile->shared_bytes(),
           PromptGateUpArgs{.weights = {gate, up},
                            .activation = activation,
                            .x = x_->rows(),
                            .groups = of,
                            .h = h_->result()});
    return;
  }
  const int at_once =
      kernel_capacity(static_cast<int>(std::min<int64_t>(n_slots_, kMaxGateUpTokens)), kMaxGateUpTokens);
  launch(device_, gate_up_kernel(at_once),
         {.x = divided_up(rows_, kGateUpTileRows), .y = divided_up(n_slots_, at_once)},
         gate_up_shared_bytes(at_once),
         GateUpArgs{.weights = {gate, up},
                    .x = {x_->rows(), x_->rows()},
                    .slots_per_x = 1,
                    .n_slots = static_cast<int32_t>(n_slots_),
                    .activation = activation,
                    .h = h_->result()});
}

void ProductTrial::launch_once(const ProductWay& way) {
  const int64_t of_half = n_experts_ * rows_;
  if (first_row_ + n_halves() * of_half > weights_.n_rows()) first_row_ = 0;
  const WeightRows first = weights_.matrices(first_row_, rows_);
  if (is_linear()) {
    launch_linear(way, first);
  } else {
    launch_gate_up(way, first, n_halves() == 2 ? weights_.matrices(first_row_ + of_half, rows_) : first);
  }
  first_row_ += n_halves() * of_half;
}

double ProductTrial::seconds(const ProductWay& way) {
  const auto run = [&](int64_t n) {
    return device_.seconds_of([&] {
      for (int64_t i = 0; i < n; ++i) launch_once(way);
    });
  };
  // The first run finds out how long one takes, and wakes the device's clocks.
  if (n_repeats_ == 0) {
    const double once = std::max(run(1), 1e-9);
    n_repeats_ = std::clamp<int64_t>(static_cast<int64_t>(std::ceil(kShortestRun / once)), 1, kMostRepeats);
  }
  return run(n_repeats_) / static_cast<double>(n_repeats_);
}

bool ProductTrial::is_right(const PromptTile* tile) {
  if (tile == nullptr) return true;  // what the tiles are checked against
  ProductShape shape = setup_.shape;
  shape.rows = 0;  // which does not matter
  const std::pair key(shape, tile->kernel);
  if (const auto known = problems_.find(key); known != problems_.end()) return known->second.empty();
  const std::string why = why_wrong(device_, setup_.shape, *tile);
  problems_[key] = why;
  if (why.empty()) return true;
  const TuningKey tuned = product_key(setup_.shape, setup_.tokens_class);
  spdlog::warn("tuning: {} is not used for {} {}: {}", kernel_row(tile->kernel).name, tuned.operation,
               tuned.params, why);
  return false;
}

/// The untuned one, too: what it shares with the others is that all have the bits of decode's kernels.
void ProductTrial::check_next() {
  const size_t way = n_checked_++;
  if (is_right(setup_.ways[way].tile)) return;
  if (way > 0) return rounds_.drop(way);
  for (size_t other = 1; other < setup_.ways.size(); ++other) rounds_.drop(other);
}

bool ProductTrial::step() {
  if (n_checked_ < setup_.ways.size()) {
    check_next();
    return true;
  }
  const std::optional<size_t> way = rounds_.next();
  if (!way) return false;
  rounds_.add(seconds(setup_.ways[*way]));
  return rounds_.next().has_value();
}

double ProductTrial::median_seconds(size_t way) const {
  return rounds_.median(way) * static_cast<double>(setup_.rows) / static_cast<double>(rows_) *
         static_cast<double>(setup_.shape.n_experts) / static_cast<double>(n_experts_);
}

}  // namespace halod::hip

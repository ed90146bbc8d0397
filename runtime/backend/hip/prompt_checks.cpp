// The checks of a prompt's matrix products. Their results must have the bits of the decode kernels', which
// compute a row alone: a row's result then depends neither on its neighbours nor on the kernel.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "runtime/backend/hip/check_inputs.h"
#include "runtime/backend/hip/expert_reference.h"
#include "runtime/backend/hip/kernel_checks.h"

namespace halod::hip {
namespace {

template <class T>
double difference(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0 ? 0 : 1;
}

int divided(int n, int by) { return (n + by - 1) / by; }

/// Each token's experts, all different, in an order that is not theirs.
std::vector<int32_t> route(const PromptExpertsShape& shape) {
  std::mt19937 generator(40);
  std::vector<int32_t> experts, all(static_cast<size_t>(shape.n_experts));
  std::iota(all.begin(), all.end(), 0);
  for (int t = 0; t < shape.n_tokens; ++t) {
    if (shape.routing == Routing::kSpread || t == shape.n_tokens - 1) {
      for (size_t i = all.size() - 1; i > 0; --i) std::swap(all[i], all[generator() % (i + 1)]);
    } else {
      std::iota(all.begin(), all.end(), 0);
    }
    experts.insert(experts.end(), all.begin(), all.begin() + shape.n_per_token);
  }
  return experts;
}

class PromptExpertsCheck {
 public:
  PromptExpertsCheck(Device& device, const PromptExpertsShape& shape, const PromptTile& linear,
                     const PromptTile& gate_up)
      : device_(device),
        shape_(shape),
        linear_(linear),
        gate_up_(gate_up),
        n_slots_(shape.n_tokens * shape.n_per_token),
        chosen_(route(shape)),
        gate_(device, shape.gate, shape.n_experts, shape.width, shape.hidden_size, 41),
        up_(device, shape.up, shape.n_experts, shape.width, shape.hidden_size, 42),
        down_(device, shape.down, shape.n_experts, shape.hidden_size, shape.width, 43),
        gate_bias_(device, shape.has_biases, shape.n_experts, shape.width, 53),
        up_bias_(device, shape.has_biases, shape.n_experts, shape.width, 54),
        down_bias_(device, shape.has_biases, shape.n_experts, shape.hidden_size, 55),
        experts_(device, chosen_),
        offsets_(device, shape.n_experts + 1),
        order_(device, n_slots_),
        shares_(device, check_values(n_slots_, 44)),
        x_(device, shape.n_tokens, shape.hidden_size),
        h_(device, n_slots_, shape.width) {
    x_.write(check_values(int64_t{shape.n_tokens} * shape.hidden_size, 45));
    if (shape.hidden_size % kGroupColumns == 0) x_.quantise(device);
  }

  KernelChecks run() {
    check_groups();
    check_gate_up();
    check_down();
    return std::move(checks_);
  }

 private:
  void add(KernelId kernel, std::string_view what, double nmse) {
    checks_.push_back({fmt::format("{} {} {} of {} experts {}x{}, {} tokens: {}", kernel_row(kernel).name,
                                   traits(shape_.gate).name, shape_.n_per_token, shape_.n_experts,
                                   shape_.width, shape_.hidden_size, shape_.n_tokens, what),
                       nmse});
  }

  CheckSlots slots() const { return {chosen_, shape_.n_per_token}; }

  RowGroups groups(int rows_per_x) const {
    return {.offsets = offsets_.data(),
            .order = order_.data(),
            .n_experts = shape_.n_experts,
            .n_rows = n_slots_,
            .rows_per_x = rows_per_x};
  }

  void check_groups() {
    launch(device_, KernelId::group_slots, {.x = shape_.n_experts}, group_slots_shared_bytes(),
           GroupSlotsArgs{.experts = experts_.data(),
                          .n_slots = n_slots_,
                          .n_experts = shape_.n_experts,
                          .offsets = offsets_.data(),
                          .order = order_.data()});
    std::vector<int32_t> order(chosen_.size()), offsets;
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return chosen_[static_cast<size_t>(a)] < chosen_[static_cast<size_t>(b)];
    });
    for (int e = 0; e <= shape_.n_experts; ++e) {
      offsets.push_back(
          static_cast<int32_t>(std::ranges::count_if(chosen_, [&](int32_t expert) { return expert < e; })));
    }
    add(KernelId::group_slots, "order", difference(order_.read(), order));
    add(KernelId::group_slots, "offsets", difference(offsets_.read(), offsets));
  }

  void check_gate_up() {
    launch(device_, gate_up_.kernel,
           {.x = divided(shape_.width, prompt_gate_up_columns(shape_.activation)),
            .y = prompt_row_tiles(n_slots_, shape_.n_experts, gate_up_.rows())},
           gate_up_.shared_bytes(),
           PromptGateUpArgs{.weights = {gate_.device_rows(), up_.device_rows()},
                            .biases = {gate_bias_.data(), up_bias_.data()},
                            .activation = shape_.activation,
                            .x = x_.rows(),
                            .groups = groups(shape_.n_per_token),
                            .h = h_.result()});
    CheckActivations alone(device_, n_slots_, shape_.width);
    launch(device_, KernelId::gate_up_1, {.x = divided(shape_.width, kGateUpTileRows), .y = n_slots_},
           gate_up_shared_bytes(1),
           GateUpArgs{.weights = {gate_.device_rows(), up_.device_rows()},
                      .x = {x_.rows(), x_.rows(), x_.rows(), x_.rows()},
                      .biases = {gate_bias_.data(), up_bias_.data()},
                      .experts = experts_.data(),
                      .slots_per_x = shape_.n_per_token,
                      .n_slots = n_slots_,
                      .activation = shape_.activation,
                      .h = alone.result()});
    add(gate_up_.kernel, "bits", difference(h_.values(), alone.values()));
    add(gate_up_.kernel, "codes", difference(h_.codes(), alone.codes()));
    add(gate_up_.kernel, "scales", difference(h_.groups(), alone.groups()));

    add(gate_up_.kernel, "values",
        check_nmse(h_.values(),
                   expected_gate_up(slots(), {gate_, gate_bias_}, {up_, up_bias_}, shape_.activation, x_)));
  }

  void check_down() {
    const int hidden_size = shape_.hidden_size;
    // What is there before does not matter where nothing is added to it.
    std::vector<float> before = check_values(int64_t{shape_.n_tokens} * hidden_size, 46);
    DeviceArray<float> residual(device_, before), alone(device_, before);
    DeviceArray<float> y(device_, int64_t{n_slots_} * hidden_size);
    const int tiles = divided(hidden_size, linear_.weight_rows);
    launch(device_, linear_.kernel,
           {.x = tiles, .y = prompt_row_tiles(n_slots_, shape_.n_experts, linear_.rows())},
           linear_.shared_bytes(),
           PromptLinearArgs{.weights = {down_.device_rows()},
                            .y = {y.data()},
                            .first_tile = {0, tiles},
                            .n_matrices = 1,
                            .add = 0,
                            .x = h_.rows(),
                            .groups = groups(1)});
    SharedResult shared(device_, shape_);
    launch(device_, KernelId::experts_sum, {.x = divided(hidden_size, 256), .y = shape_.n_tokens}, 0,
           ExpertsSumArgs{.y = y.data(),
                          .bias = down_bias_.data(),
                          .experts = experts_.data(),
                          .weights = shares_.data(),
                          .shared_y = shape_.shared_width > 0 ? shared.y.data() : nullptr,
                          .shared_weights = shared.weights.data(),
                          .n_per_token = shape_.n_per_token,
                          .cols = hidden_size,
                          .add = shape_.add ? 1 : 0,
                          .sum = residual.data()});
    launch(device_, KernelId::experts_down, {.x = divided(hidden_size, kDownTileRows), .y = shape_.n_tokens},
           0,
           ExpertsDownArgs{.down = {down_.device_rows(), shared.rows()},
                           .bias = down_bias_.data(),
                           .h = {h_.rows(), shared.h.rows()},
                           .experts = experts_.data(),
                           .weights = {shares_.data(), shared.weights.data()},
                           .n_per_token = shape_.n_per_token,
                           .add = shape_.add ? 1 : 0,
                           .y = alone.data()});
    add(KernelId::experts_sum, "bits", difference(residual.read(), alone.read()));

    if (!shape_.add) before.assign(before.size(), 0.0F);
    ExpectedDown expected = expected_down(slots(), {down_, down_bias_}, h_, shares_.read(), before);
    add(linear_.kernel, "down", check_nmse(y.read(), expected.products));
    if (shape_.shared_width > 0) {
      const std::vector<int32_t> first(static_cast<size_t>(shape_.n_tokens));
      const CheckBiases none(device_, false, 1, 1, 0);
      expected = expected_down({first, 1}, {shared.down, none}, shared.h, shared.weights.read(),
                               std::move(expected.residual));
    }
    add(KernelId::experts_sum, "values", check_nmse(residual.read(), expected.residual));
  }

  /// What the shared expert's products are, by decode's kernel: a prompt's have the same bits.
  struct SharedResult {
    SharedResult(Device& device, const PromptExpertsShape& shape)
        : width(std::max(shape.shared_width, 32)),
          has_expert(shape.shared_width > 0),
          down(device, Format::kQ8_0, 1, shape.hidden_size, width, 60),
          h(device, shape.n_tokens, width),
          y(device, int64_t{shape.n_tokens} * shape.hidden_size),
          weights(device, check_values(shape.n_tokens, 61)) {
      h.write(check_values(int64_t{shape.n_tokens} * width, 62));
      h.quantise(device);
      const int tiles = divided(shape.hidden_size, kLinearTileRows);
      for (int t = 0; t < shape.n_tokens; ++t) {
        const ActivationRows x = h.rows();
        launch(device, KernelId::linear_1, {.x = tiles}, 0,
               LinearArgs{.weights = {down.device_rows()},
                          .y = {y.data() + int64_t{t} * shape.hidden_size},
                          .first_tile = {0, tiles},
                          .n_matrices = 1,
                          .n_tokens = 1,
                          .x = {x.values + int64_t{t} * width, x.codes + int64_t{t} * width,
                                x.groups + t * (width / kGroupColumns)}});
      }
    }
    WeightRows rows() const { return has_expert ? down.device_rows() : WeightRows{}; }

    int width;
    bool has_expert;
    CheckWeights down;
    CheckActivations h;
    DeviceArray<float> y, weights;
  };

  Device& device_;
  const PromptExpertsShape& shape_;
  const PromptTile &linear_, &gate_up_;
  int n_slots_;
  std::vector<int32_t> chosen_;
  CheckWeights gate_, up_, down_;
  CheckBiases gate_bias_, up_bias_, down_bias_;
  DeviceArray<int32_t> experts_, offsets_, order_;
  DeviceArray<float> shares_;
  CheckActivations x_, h_;
  KernelChecks checks_;
};

}  // namespace

KernelChecks check_prompt_linear(Device& device, const LinearShape& shape, const PromptTile& tile) {
  const auto n_matrices = static_cast<int>(shape.formats.size());
  const int64_t n = int64_t{shape.n_tokens} * shape.rows;
  CheckActivations x(device, shape.n_tokens, shape.cols);
  x.write(check_values(int64_t{shape.n_tokens} * shape.cols, 47));
  if (shape.cols % kGroupColumns == 0) x.quantise(device);
  std::vector<CheckWeights> weights;
  std::vector<DeviceArray<float>> results, alone;
  weights.reserve(shape.formats.size());
  results.reserve(shape.formats.size());
  alone.reserve(shape.formats.size());
  const std::vector<float> before = check_values(n, 48);
  PromptLinearArgs args{
      .n_matrices = n_matrices,
      .add = shape.add ? 1 : 0,
      .x = x.rows(),
      .groups = {
          .offsets = nullptr, .order = nullptr, .n_experts = 1, .n_rows = shape.n_tokens, .rows_per_x = 1}};
  LinearArgs decode{.n_matrices = n_matrices, .add = args.add};
  const std::vector<float> bias = check_values(shape.rows, 49);
  DeviceArray<float> device_bias(device, bias);
  if (shape.has_bias) args.bias = decode.bias = device_bias.data();
  for (int m = 0; m < n_matrices; ++m) {
    const auto i = static_cast<size_t>(m);
    weights.emplace_back(device, shape.formats[i], 1, shape.rows, shape.cols, static_cast<uint32_t>(50 + m));
    results.emplace_back(device, before);
    alone.emplace_back(device, before);
    args.weights[i] = decode.weights[i] = weights[i].device_rows();
    args.y[i] = results[i].data();
    args.first_tile[i + 1] = args.first_tile[i] + divided(shape.rows, tile.weight_rows);
    decode.first_tile[i + 1] = decode.first_tile[i] + divided(shape.rows, kLinearTileRows);
  }
  launch(device, tile.kernel,
         {.x = args.first_tile[n_matrices], .y = prompt_row_tiles(shape.n_tokens, 1, tile.rows())},
         tile.shared_bytes(), args);
  for (int row = 0; row < shape.n_tokens; row += kMaxLinearTokens) {
    decode.n_tokens = std::min(kMaxLinearTokens, shape.n_tokens - row);
    decode.x = {args.x.values + row * shape.cols, args.x.codes + row * shape.cols,
                args.x.groups + row * (shape.cols / kGroupColumns)};
    for (size_t i = 0; i < results.size(); ++i) decode.y[i] = alone[i].data() + row * shape.rows;
    launch(device, linear_kernel(decode.n_tokens), {.x = decode.first_tile[n_matrices]}, 0, decode);
  }
  KernelChecks checks;
  for (size_t i = 0; i < results.size(); ++i) {
    const std::string what = fmt::format(
        "{} {} {}x{}, {} rows{}{}", kernel_row(tile.kernel).name, traits(shape.formats[i]).name, shape.rows,
        shape.cols, shape.n_tokens, shape.add ? ", added" : "", shape.has_bias ? ", biased" : "");
    const std::vector<float> values = results[i].read();
    std::vector<float> expected =
        expected_product(weights[i].blocks(0), x.values_for(shape.formats[i]).data(), shape.n_tokens);
    for (size_t j = 0; shape.add && j < expected.size(); ++j) expected[j] += before[j];
    if (shape.has_bias) add_to_rows(expected, bias);
    checks.push_back({what, check_nmse(values, expected)});
    checks.push_back({what + ": bits", difference(values, alone[i].read())});
  }
  return checks;
}

KernelChecks check_prompt_experts(Device& device, const PromptExpertsShape& shape, const PromptTile& linear,
                                  const PromptTile& gate_up) {
  return PromptExpertsCheck(device, shape, linear, gate_up).run();
}

}  // namespace halod::hip

// The checks of the mixture of experts.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "runtime/backend/hip/check_inputs.h"
#include "runtime/backend/hip/expert_reference.h"
#include "runtime/backend/hip/kernel_checks.h"

namespace halod::hip {
namespace {

RouterTopKArgs::Gating reference_gating(Gating gating) {
  switch (gating) {
    case Gating::kSoftmaxOfChosen:
      return RouterTopKArgs::Gating::kSoftmaxOfChosen;
    case Gating::kSigmoid:
      return RouterTopKArgs::Gating::kSigmoid;
    case Gating::kSoftmax:
      break;
  }
  return RouterTopKArgs::Gating::kSoftmax;
}

/// The experts' layer on the device, step by step.
class ExpertsCheck {
 public:
  ExpertsCheck(Device& device, const ExpertsShape& shape)
      : device_(device),
        shape_(shape),
        n_slots_(shape.n_tokens * shape.n_per_token),
        router_(device, shape.router, 1, shape.n_experts, shape.hidden_size, 20),
        gate_(device, shape.gate, shape.n_experts, shape.width, shape.hidden_size, 21),
        up_(device, shape.up, shape.n_experts, shape.width, shape.hidden_size, 22),
        down_(device, shape.down, shape.n_experts, shape.hidden_size, shape.width, 23),
        router_bias_(device, shape.has_biases, 1, shape.n_experts, 27),
        gate_bias_(device, shape.has_biases, shape.n_experts, shape.width, 28),
        up_bias_(device, shape.has_biases, shape.n_experts, shape.width, 29),
        down_bias_(device, shape.has_biases, shape.n_experts, shape.hidden_size, 33),
        hidden_values_(check_values(shape.n_tokens * shape.hidden_size, 24)),
        norm_values_(check_values(shape.hidden_size, 25)),
        hidden_(device, hidden_values_),
        norm_(device, norm_values_),
        logits_(device, shape.n_tokens * shape.n_experts),
        weights_(device, n_slots_),
        counters_(device, shape.n_tokens),
        experts_(device, n_slots_),
        x_(device, shape.n_tokens, shape.hidden_size),
        h_(device, n_slots_, shape.width),
        selection_bias_(device, shape.has_selection_bias, 1, shape.n_experts, 80),
        // Of the router's columns, then of the row's that weighs the shared expert.
        orders_(check_orders(2, shape.hidden_size, 85)),
        device_orders_(device, orders_) {
    if (shape.shared_width > 0) shared_.emplace(device, shape);
  }

  KernelChecks run() {
    check_router();
    check_gate_up();
    check_down();
    return std::move(checks_);
  }

 private:
  std::string what(std::string_view kernel, Format format) const {
    return fmt::format("{} {} {} of {} experts {}x{}, {} tokens{}", kernel, traits(format).name,
                       shape_.n_per_token, shape_.n_experts, shape_.width, shape_.hidden_size,
                       shape_.n_tokens, shape_.has_biases ? ", biased" : "");
  }

  CheckSlots slots() const { return {chosen_, shape_.n_per_token}; }

  const int32_t* device_order(int i) const {
    return shape_.has_orders ? device_orders_.data() + i * shape_.hidden_size : nullptr;
  }
  /// What the router or the shared expert's row is multiplied with.
  std::vector<float> routed_values(int i) {
    if (!shape_.has_orders) return x_.values_for(shape_.router);
    const auto cols = static_cast<size_t>(shape_.hidden_size);
    return x_.values_in_order_for(device_, shape_.router,
                                  std::span(orders_).subspan(static_cast<size_t>(i) * cols, cols));
  }

  void check_router() {
    launch(device_, KernelId::router,
           {.x = router_blocks(shape_.n_experts, shared_.has_value()), .y = shape_.n_tokens},
           router_shared_bytes(shape_.hidden_size, shape_.n_experts),
           RouterArgs{.hidden = hidden_.data(),
                      .norm = norm_.data(),
                      .router = router_.device_rows(),
                      .bias = router_bias_.data(),
                      .x = x_.result(),
                      .logits = logits_.data(),
                      .counters = counters_.data(),
                      .experts = experts_.data(),
                      .weights = weights_.data(),
                      .epsilon = 1e-6F,
                      .n_per_token = shape_.n_per_token,
                      .gating = shape_.gating,
                      .weights_scale = shape_.weights_scale,
                      .selection_bias = selection_bias_.data(),
                      .shared_scale = shared_ ? shared_->scale.device_rows() : WeightRows{},
                      .orders = {device_order(0), device_order(1)},
                      .shared_weights = shared_ ? shared_->weights.data() : nullptr});
    const int cols = shape_.hidden_size;
    std::vector<float> normed(hidden_values_.size());
    for (int t = 0; t < shape_.n_tokens; ++t)
      reference::rms_norm(
          {hidden_values_.data() + t * cols, norm_values_.data(), normed.data() + t * cols, cols, 1e-6F});
    checks_.push_back({what("router's norm", shape_.router), check_nmse(x_.values(), normed)});
    std::vector<float> expected_logits =
        expected_product(router_.blocks(0), routed_values(0).data(), shape_.n_tokens);
    router_bias_.add_to(expected_logits, 0);
    const std::vector<float> logits = logits_.read();
    checks_.push_back({what("router's logits", shape_.router), check_nmse(logits, expected_logits)});
    // From the device's logits, so that a near tie may not fall otherwise.
    std::vector<int32_t> best(static_cast<size_t>(n_slots_));
    std::vector<float> shares(best.size());
    for (int t = 0; t < shape_.n_tokens; ++t) {
      reference::router_top_k({.logits = logits.data() + t * shape_.n_experts,
                               .n_experts = shape_.n_experts,
                               .n_chosen = shape_.n_per_token,
                               .experts = best.data() + t * shape_.n_per_token,
                               .weights = shares.data() + t * shape_.n_per_token,
                               .gating = reference_gating(shape_.gating),
                               .selection_bias = selection_bias_.host_data(),
                               .weights_scale = shape_.weights_scale});
    }
    chosen_ = experts_.read();
    checks_.push_back(
        {what("router's choice", shape_.router), chosen_ == best ? check_nmse(weights_.read(), shares) : 1});
    if (!shared_) return;
    std::vector<float> weights =
        expected_product(shared_->scale.blocks(0), routed_values(1).data(), shape_.n_tokens);
    for (float& weight : weights) weight = 1.0F / (1.0F + std::exp(-weight));
    checks_.push_back({what("router's share of the shared expert", shape_.router),
                       check_nmse(shared_->weights.read(), weights)});
  }

  void check_gate_up() {
    const int width = std::max(shape_.width, shape_.shared_width);
    launch(device_, KernelId::gate_up_1,
           {.x = (width + kGateUpTileRows - 1) / kGateUpTileRows,
            .y = n_slots_ + (shared_ ? shape_.n_tokens : 0)},
           gate_up_shared_bytes(1),
           GateUpArgs{.weights = {gate_.device_rows(), up_.device_rows(),
                                  shared_ ? shared_->gate.device_rows() : WeightRows{},
                                  shared_ ? shared_->up.device_rows() : WeightRows{}},
                      .x = {x_.rows(), x_.rows(), x_.rows(), x_.rows()},
                      .biases = {gate_bias_.data(), up_bias_.data()},
                      .experts = experts_.data(),
                      .slots_per_x = shape_.n_per_token,
                      .n_slots = n_slots_,
                      .activation = shape_.activation,
                      .h = h_.result(),
                      .shared_h = shared_ ? shared_->h.result() : ActivationResult{}});
    checks_.push_back({what("gate_up_1", shape_.gate),
                       check_nmse(h_.values(), expected_gate_up(slots(), {gate_, gate_bias_}, {up_, up_bias_},
                                                                shape_.activation, x_))});
    if (!shared_) return;
    const CheckBiases none(device_, false, 1, 1, 0);
    const std::vector<float> expected = expected_gate_up({shared_->experts, 1}, {shared_->gate, none},
                                                         {shared_->up, none}, shape_.activation, x_);
    checks_.push_back(
        {what("gate_up_1 of the shared expert", shape_.gate), check_nmse(shared_->h.values(), expected)});
  }

  void check_down() {
    const std::vector<float> before = check_values(shape_.n_tokens * shape_.hidden_size, 26);
    DeviceArray<float> residual(device_, before);
    launch(
        device_, KernelId::experts_down,
        {.x = (shape_.hidden_size + kDownTileRows - 1) / kDownTileRows, .y = shape_.n_tokens}, 0,
        ExpertsDownArgs{.down = {down_.device_rows(), shared_ ? shared_->down.device_rows() : WeightRows{}},
                        .bias = down_bias_.data(),
                        .h = {h_.rows(), shared_ ? shared_->h.rows() : ActivationRows{}},
                        .experts = experts_.data(),
                        .weights = {weights_.data(), shared_ ? shared_->weights.data() : nullptr},
                        .n_per_token = shape_.n_per_token,
                        .add = 1,
                        .y = residual.data()});
    ExpectedDown expected = expected_down(slots(), {down_, down_bias_}, h_, weights_.read(), before);
    if (shared_) {
      const CheckBiases none(device_, false, 1, 1, 0);
      expected = expected_down({shared_->experts, 1}, {shared_->down, none}, shared_->h,
                               shared_->weights.read(), std::move(expected.residual));
    }
    checks_.push_back({what("experts_down", shape_.down), check_nmse(residual.read(), expected.residual)});
  }

  /// The expert that every token goes to.
  struct Shared {
    Shared(Device& device, const ExpertsShape& shape)
        : gate(device, shape.gate, 1, shape.shared_width, shape.hidden_size, 81),
          up(device, shape.up, 1, shape.shared_width, shape.hidden_size, 82),
          down(device, shape.down, 1, shape.hidden_size, shape.shared_width, 83),
          scale(device, shape.router, 1, 1, shape.hidden_size, 84),
          weights(device, shape.n_tokens),
          h(device, shape.n_tokens, shape.shared_width),
          experts(static_cast<size_t>(shape.n_tokens)) {}
    CheckWeights gate, up, down, scale;
    DeviceArray<float> weights;
    CheckActivations h;
    std::vector<int32_t> experts;  ///< 0, one per token
  };

  Device& device_;
  const ExpertsShape& shape_;
  int n_slots_;
  CheckWeights router_, gate_, up_, down_;
  CheckBiases router_bias_, gate_bias_, up_bias_, down_bias_;
  std::vector<float> hidden_values_, norm_values_;
  DeviceArray<float> hidden_, norm_, logits_, weights_;
  DeviceArray<uint32_t> counters_;
  DeviceArray<int32_t> experts_;
  CheckActivations x_, h_;
  CheckBiases selection_bias_;
  std::vector<int32_t> orders_;
  DeviceArray<int32_t> device_orders_;
  std::optional<Shared> shared_;
  std::vector<int32_t> chosen_;
  KernelChecks checks_;
};

}  // namespace

KernelChecks check_experts(Device& device, const ExpertsShape& shape) {
  return ExpertsCheck(device, shape).run();
}

KernelChecks check_dense_gate_up(Device& device, const ExpertsShape& shape) {
  const CheckWeights gate(device, shape.gate, 1, shape.width, shape.hidden_size, 30),
      up(device, shape.up, 1, shape.width, shape.hidden_size, 31);
  CheckActivations x(device, shape.n_tokens, shape.hidden_size), h(device, shape.n_tokens, shape.width);
  x.write(check_values(shape.n_tokens * shape.hidden_size, 32));
  if (shape.hidden_size % 32 == 0) x.quantise(device);
  const int at_once = kernel_capacity(std::min(shape.n_tokens, kMaxGateUpTokens), kMaxGateUpTokens);
  launch(device, gate_up_kernel(at_once),
         {.x = (shape.width + kGateUpTileRows - 1) / kGateUpTileRows,
          .y = (shape.n_tokens + at_once - 1) / at_once},
         gate_up_shared_bytes(at_once),
         GateUpArgs{.weights = {gate.device_rows(), up.device_rows()},
                    .x = {x.rows(), x.rows()},
                    .experts = nullptr,
                    .slots_per_x = 1,
                    .n_slots = shape.n_tokens,
                    .activation = shape.activation,
                    .h = h.result()});
  std::vector<float> expected =
      expected_product(gate.blocks(0), x.values_for(shape.gate).data(), shape.n_tokens);
  const std::vector<float> up_rows =
      expected_product(up.blocks(0), x.values_for(shape.up).data(), shape.n_tokens);
  activate_rows(shape.activation, expected, up_rows);
  return {{fmt::format("gate_up_{} {} {}x{}, {} rows", at_once, traits(shape.gate).name, shape.width,
                       shape.hidden_size, shape.n_tokens),
           check_nmse(h.values(), expected)}};
}

}  // namespace halod::hip

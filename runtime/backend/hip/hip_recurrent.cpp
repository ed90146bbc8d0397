// The recurrent layers of the GPU backend.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "runtime/backend/hip/hip_backend.h"
#include "runtime/backend/hip/rounding.h"

namespace halod::hip {
namespace {

/// [slot][layer][convolution's inputs, heads' matrices], the matrices as their kernel keeps them.
class HipRecurrentStates final : public RecurrentStates {
 public:
  HipRecurrentStates(DeviceMemory memory, const RecurrentShape& shape)
      : memory_(std::move(memory)), shape_(shape) {}
  uint64_t bytes() const override { return memory_.size(); }
  /// Of slot 0.
  float* conv(int64_t layer_idx) const { return memory_.as<float>() + layer_idx * shape_.floats_per_layer(); }
  float* heads(int64_t layer_idx) const { return conv(layer_idx) + shape_.conv_floats(); }
  int64_t slot_floats() const { return shape_.n_layers * shape_.floats_per_layer(); }

 private:
  DeviceMemory memory_;
  RecurrentShape shape_;
};

/// Rows of a sequence that a launch takes at most: they follow one another, at some 0.2 to 0.4 us each.
constexpr int64_t kMostRows = 1 << 16;

}  // namespace

Result<std::unique_ptr<RecurrentStates>> HipBackend::allocate_states(const RecurrentShape& shape,
                                                                     int64_t n_slots) {
  const bool is_mamba2 = shape.key_dim > 0;
  const bool has_kernel = is_mamba2 ? find_ssm_scan(shape.key_dim, shape.head_dim) != nullptr
                                    : delta_net_kernel(shape.head_dim) != nullptr;
  if (!has_kernel || shape.conv_kernel != kConvTaps) {
    return Error{
        ErrorCode::kUnsupported,
        fmt::format("recurrent layers with heads of {} values, states of {} rows and convolutions over {} "
                    "tokens: the GPU's kernels take {} and {} tokens; use `backend: cpu`",
                    shape.head_dim, shape.matrix_rows(), shape.conv_kernel,
                    is_mamba2 ? "heads and states of multiples of 16, states of 256 rows at most"
                              : "heads of 64 or 128",
                    kConvTaps)};
  }
  auto memory = DeviceMemory::allocate(*device_, shape.bytes_per_slot() * static_cast<uint64_t>(n_slots));
  if (!memory) return memory.error();
  return std::unique_ptr<RecurrentStates>(std::make_unique<HipRecurrentStates>(std::move(*memory), shape));
}

void HipBackend::gated_delta_net(const GatedDeltaNetArgs& args, RecurrentStates& states) {
  const auto& storage = static_cast<const HipRecurrentStates&>(states);
  const int64_t n_heads = args.n_value_heads, dim = args.head_dim;
  const double per_row = 8.0 * static_cast<double>(step_.n_sequences * n_heads * dim * dim);
  const int64_t at_once = std::min(kMostRows, rows_per_launch(per_row, kDeltaTokens));
  const bool is_by_key_head = args.beta_alpha.data != nullptr;
  const int64_t group = is_by_key_head ? n_heads / args.n_key_heads : n_heads;
  const float* beta = is_by_key_head ? args.beta_alpha.data : args.beta.data;
  write(args.qkv, false);
  const ActivationResult out = write(args.gate, true);
  for (int64_t row = 0; row < step_.most_rows; row += at_once) {
    const SequencePart part{step_.sequences, static_cast<int32_t>(row), static_cast<int32_t>(at_once)};
    launch(*device_, KernelId::causal_conv, {.x = divided_up(args.qkv.cols, 256), .y = step_.n_sequences}, 0,
           CausalConvArgs{.x = args.qkv.data,
                          .weight = hip_vector(args.conv),
                          .state = storage.conv(args.layer_idx),
                          .slot_floats = storage.slot_floats(),
                          .part = part,
                          .n_channels = static_cast<int32_t>(args.qkv.cols),
                          .x_stride = static_cast<int32_t>(args.qkv.row_stride)});
    launch(*device_, *delta_net_kernel(dim), {.x = n_heads, .y = step_.n_sequences},
           delta_net_shared_bytes(static_cast<int>(dim)),
           DeltaNetArgs{.qkv = args.qkv.data,
                        .beta = beta,
                        .alpha = is_by_key_head ? beta + group : args.alpha.data,
                        .a = hip_vector(args.a),
                        .dt_bias = hip_vector(args.dt_bias),
                        .norm = hip_vector(args.norm),
                        .out = out,
                        .state = storage.heads(args.layer_idx),
                        .slot_floats = storage.slot_floats(),
                        .part = part,
                        .epsilon = args.norm_epsilon,
                        .gate_stride = static_cast<int32_t>(is_by_key_head ? 2 * n_heads : n_heads),
                        .gate_group = static_cast<int32_t>(group),
                        .gate_group_stride = static_cast<int32_t>(is_by_key_head ? 2 * group : group),
                        .n_key_heads = static_cast<int32_t>(args.n_key_heads),
                        .n_value_heads = static_cast<int32_t>(n_heads),
                        .tiles_value_heads = args.tiles_value_heads ? 1 : 0});
  }
}

void HipBackend::mamba2(const Mamba2Args& args, RecurrentStates& states) {
  const auto& storage = static_cast<const HipRecurrentStates&>(states);
  const int64_t value_size = args.n_heads * args.head_dim, group_size = value_size / args.n_groups;
  const SsmScan& scan = *find_ssm_scan(args.state_size, args.head_dim);
  // All parts of one matrix, which nobody reads the 8-bit form of.
  HALOD_ASSERT(args.channels.row_stride == args.gate.row_stride &&
               args.channels.row_stride == args.dt.row_stride);
  const double per_row = 6.0 * static_cast<double>(step_.n_sequences * value_size * args.state_size);
  const int64_t at_once = std::min(kMostRows, rows_per_launch(per_row, kSsmTokens));
  const ActivationResult out = write(args.out, true);
  const auto stride = static_cast<int32_t>(args.channels.row_stride);
  for (int64_t row = 0; row < step_.most_rows; row += at_once) {
    const SequencePart part{step_.sequences, static_cast<int32_t>(row), static_cast<int32_t>(at_once)};
    launch(*device_, KernelId::causal_conv,
           {.x = divided_up(args.channels.cols, 256), .y = step_.n_sequences}, 0,
           CausalConvArgs{.x = args.channels.data,
                          .weight = hip_vector(args.conv),
                          .state = storage.conv(args.layer_idx),
                          .slot_floats = storage.slot_floats(),
                          .part = part,
                          .n_channels = static_cast<int32_t>(args.channels.cols),
                          .x_stride = stride,
                          .bias = hip_vector(args.conv_bias)});
    launch(*device_, scan.kernel,
           {.x = args.n_groups * ssm_blocks(static_cast<int>(group_size)), .y = step_.n_sequences},
           ssm_scan_shared_bytes(scan.most_rows),
           SsmScanArgs{.channels = args.channels.data,
                       .dt = args.dt.data,
                       .z = args.gate.data,
                       .a = hip_vector(args.a),
                       .dt_bias = hip_vector(args.dt_bias),
                       .skip = hip_vector(args.skip),
                       .out = out.values,
                       .state = storage.heads(args.layer_idx),
                       .slot_floats = storage.slot_floats(),
                       .part = part,
                       .stride = stride,
                       .n_groups = static_cast<int32_t>(args.n_groups),
                       .group_size = static_cast<int32_t>(group_size),
                       .head_dim = static_cast<int32_t>(args.head_dim),
                       .state_size = static_cast<int32_t>(args.state_size)});
  }
  launch(*device_, KernelId::group_norm, {.x = args.out.rows},
         group_norm_shared_bytes(static_cast<int>(args.n_groups)),
         GroupNormArgs{.x = out,
                       .weight = hip_vector(args.norm),
                       .epsilon = args.norm_epsilon,
                       .n_groups = static_cast<int32_t>(args.n_groups),
                       .group_size = static_cast<int32_t>(group_size)});
}

}  // namespace halod::hip

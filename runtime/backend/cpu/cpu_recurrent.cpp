// Gated attention's and recurrent layers' operations on the CPU.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/backend/cpu/cpu_backend.h"

namespace halod {
namespace {

// Channels of one task of the convolution: 4 taps of 256 are a page of the first-level cache.
constexpr int64_t kConvChannels = 256;
/// Under the root, as the models' own normalisation has it.
constexpr float kL2Epsilon = 1e-6F;

/// [slot][layer][convolution's inputs, heads' matrices].
class CpuRecurrentStates final : public RecurrentStates {
 public:
  CpuRecurrentStates(MappedMemory memory, const RecurrentShape& shape)
      : memory_(std::move(memory)), shape_(shape) {}
  uint64_t bytes() const override { return memory_.size(); }
  float* conv(int64_t slot, int64_t layer_idx) const {
    return reinterpret_cast<float*>(memory_.data()) +
           (slot * shape_.n_layers + layer_idx) * shape_.floats_per_layer();
  }
  /// A head's matrix, zeros where the sequence begins with this step.
  float* head(const AttentionSequence& sequence, int64_t layer_idx, int64_t head) const {
    const int64_t n = shape_.matrix_rows() * shape_.head_dim;
    float* matrix = conv(sequence.state_slot, layer_idx) + shape_.conv_floats() + head * n;
    if (sequence.n_past == 0) std::fill_n(matrix, n, 0.0F);
    return matrix;
  }

 private:
  MappedMemory memory_;
  RecurrentShape shape_;
};

}  // namespace

Result<std::unique_ptr<RecurrentStates>> CpuBackend::allocate_states(const RecurrentShape& shape,
                                                                     int64_t n_slots) {
  auto memory = MappedMemory::allocate(shape.bytes_per_slot() * static_cast<uint64_t>(n_slots));
  if (!memory) return memory.error();
  return std::unique_ptr<RecurrentStates>(std::make_unique<CpuRecurrentStates>(std::move(*memory), shape));
}

void CpuBackend::split_heads(MatrixView<const float> x, int64_t n_heads, MatrixView<float> left,
                             MatrixView<float> right) {
  const int64_t n_left = left.cols / n_heads, n_right = right.cols / n_heads;
  threads_.parallel_for(x.rows, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t h = 0; h < n_heads; ++h) {
        const float* head = x.row_data(t) + h * (n_left + n_right);
        std::copy_n(head, n_left, left.row_data(t) + h * n_left);
        std::copy_n(head + n_left, n_right, right.row_data(t) + h * n_right);
      }
    }
  });
}

void CpuBackend::gate_by_sigmoid(MatrixView<float> x, MatrixView<const float> gate) {
  threads_.parallel_for(x.rows, 4, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) kernels_.sigmoid_gate({x.row_data(t), gate.row_data(t), x.cols});
  });
}

void CpuBackend::convolve(const Convolution& args, RecurrentStates& states) {
  const auto& storage = static_cast<const CpuRecurrentStates&>(states);
  const int64_t n_channels = args.x.cols, n_chunks = (n_channels + kConvChannels - 1) / kConvChannels;
  const float* weight = cpu_vector(args.weight).values().data();
  const float* bias = args.bias ? cpu_vector(*args.bias).values().data() : nullptr;
  const int64_t n_past = args.n_taps - 1;
  parallel_for(static_cast<int64_t>(step_.sequences.size()) * n_chunks, 1,
               args.x.rows * n_channels * args.n_taps * 4, [&](int64_t begin, int64_t end, int) {
                 for (int64_t task = begin; task < end; ++task) {
                   const auto sequence_idx = static_cast<size_t>(task / n_chunks);
                   const AttentionSequence& sequence = step_.sequences[sequence_idx];
                   const int64_t first = task % n_chunks * kConvChannels,
                                 n = std::min(kConvChannels, n_channels - first);
                   float* state = storage.conv(sequence.state_slot, args.layer_idx) + first;
                   if (sequence.n_past == 0) {
                     for (int64_t row = 0; row < n_past; ++row)
                       std::fill_n(state + row * n_channels, n, 0.0F);
                   }
                   kernels_.causal_conv({.x = args.x.row_data(step_.first_rows[sequence_idx]) + first,
                                         .x_stride = args.x.row_stride,
                                         .n_tokens = sequence.n_new,
                                         .n_channels = n,
                                         .weight = weight + first,
                                         .weight_stride = n_channels,
                                         .n_taps = args.n_taps,
                                         .state = state,
                                         .state_stride = n_channels,
                                         .bias = bias ? bias + first : nullptr});
                 }
               });
}

void CpuBackend::gated_delta_net(const GatedDeltaNetArgs& args, RecurrentStates& states) {
  convolve({args.qkv, args.conv, nullptr, args.conv_kernel, args.layer_idx}, states);
  if (args.beta_alpha.data) split_heads(args.beta_alpha, args.n_key_heads, args.beta, args.alpha);
  const auto& storage = static_cast<const CpuRecurrentStates&>(states);
  const int64_t n_rows = args.qkv.rows, head_dim = args.head_dim, n_key_heads = args.n_key_heads,
                n_value_heads = args.n_value_heads;
  float* decay = gates_.at_least(2 * n_rows * n_value_heads);
  float* beta = decay + n_rows * n_value_heads;
  // The root mean square's norm with these weights is the sum's, for queries times 1 / sqrt(head_dim).
  const float unit = 1.0F / std::sqrt(static_cast<float>(head_dim));
  const std::vector<float> key_norm(static_cast<size_t>(head_dim), unit),
      query_norm(static_cast<size_t>(head_dim), unit * unit);
  const float epsilon = kL2Epsilon / static_cast<float>(head_dim);
  threads_.parallel_for(n_rows, 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t h = 0; h < 2 * n_key_heads; ++h) {
        float* head = args.qkv.row_data(t) + h * head_dim;
        const float* weight = h < n_key_heads ? query_norm.data() : key_norm.data();
        kernels_.rms_norm({head, weight, head, head_dim, epsilon});
      }
      kernels_.delta_gates({.alpha = args.alpha.row_data(t),
                            .beta_logits = args.beta.row_data(t),
                            .a = cpu_vector(args.a).values().data(),
                            .dt_bias = cpu_vector(args.dt_bias).values().data(),
                            .n_heads = n_value_heads,
                            .decay = decay + t * n_value_heads,
                            .beta = beta + t * n_value_heads});
    }
  });
  const float* norm = cpu_vector(args.norm).values().data();
  const auto n_sequences = static_cast<int64_t>(step_.sequences.size());
  parallel_for(n_sequences * n_value_heads, 1, 4 * n_rows * n_value_heads * head_dim * head_dim,
               [&](int64_t begin, int64_t end, int) {
                 for (int64_t task = begin; task < end; ++task) {
                   const auto sequence_idx = static_cast<size_t>(task / n_value_heads);
                   const AttentionSequence& sequence = step_.sequences[sequence_idx];
                   const int64_t first_row = step_.first_rows[sequence_idx], head = task % n_value_heads;
                   const int64_t key_head =
                       args.tiles_value_heads ? head % n_key_heads : head / (n_value_heads / n_key_heads);
                   float* row = args.qkv.row_data(first_row);
                   kernels_.delta_rule({.q = row + key_head * head_dim,
                                        .k = row + (n_key_heads + key_head) * head_dim,
                                        .v = row + (2 * n_key_heads + head) * head_dim,
                                        .stride = args.qkv.row_stride,
                                        .decay = decay + first_row * n_value_heads + head,
                                        .beta = beta + first_row * n_value_heads + head,
                                        .gate_stride = n_value_heads,
                                        .n_tokens = sequence.n_new,
                                        .head_dim = head_dim,
                                        .state = storage.head(sequence, args.layer_idx, head)});
                   for (int64_t t = first_row; t < first_row + sequence.n_new; ++t) {
                     float* out = args.qkv.row_data(t) + (2 * n_key_heads + head) * head_dim;
                     kernels_.rms_norm({out, norm, out, head_dim, args.norm_epsilon});
                     kernels_.swiglu({args.gate.row_data(t) + head * head_dim, out, head_dim});
                   }
                 }
               });
}

void CpuBackend::mamba2(const Mamba2Args& args, RecurrentStates& states) {
  convolve({args.channels, args.conv, args.conv_bias, args.conv_kernel, args.layer_idx}, states);
  const auto& storage = static_cast<const CpuRecurrentStates&>(states);
  const int64_t n_rows = args.channels.rows, n_heads = args.n_heads, head_dim = args.head_dim,
                value_size = n_heads * head_dim, n_keys = args.n_groups * args.state_size;
  float* decay = gates_.at_least(2 * n_rows * n_heads);
  float* dt = decay + n_rows * n_heads;
  for (int64_t t = 0; t < n_rows; ++t) {
    kernels_.ssm_gates({.dt_logits = args.dt.row_data(t),
                        .a = cpu_vector(args.a).values().data(),
                        .dt_bias = cpu_vector(args.dt_bias).values().data(),
                        .n_heads = n_heads,
                        .decay = decay + t * n_heads,
                        .dt = dt + t * n_heads});
  }
  const float* skip = cpu_vector(args.skip).values().data();
  const auto n_sequences = static_cast<int64_t>(step_.sequences.size());
  parallel_for(n_sequences * n_heads, 1, 3 * n_rows * value_size * args.state_size,
               [&](int64_t begin, int64_t end, int) {
                 for (int64_t task = begin; task < end; ++task) {
                   const auto sequence_idx = static_cast<size_t>(task / n_heads);
                   const AttentionSequence& sequence = step_.sequences[sequence_idx];
                   const int64_t first_row = step_.first_rows[sequence_idx], head = task % n_heads,
                                 group = head / (n_heads / args.n_groups);
                   float* row = args.channels.row_data(first_row);
                   kernels_.ssm_scan({.b = row + value_size + group * args.state_size,
                                      .c = row + value_size + n_keys + group * args.state_size,
                                      .x = row + head * head_dim,
                                      .stride = args.channels.row_stride,
                                      .decay = decay + first_row * n_heads + head,
                                      .dt = dt + first_row * n_heads + head,
                                      .gate_stride = n_heads,
                                      .n_tokens = sequence.n_new,
                                      .state_size = args.state_size,
                                      .head_dim = head_dim,
                                      .skip = skip[head],
                                      .state = storage.head(sequence, args.layer_idx, head)});
                   for (int64_t t = first_row; t < first_row + sequence.n_new; ++t)
                     kernels_.swiglu({args.gate.row_data(t) + head * head_dim,
                                      args.channels.row_data(t) + head * head_dim, head_dim});
                 }
               });
  const float* norm = cpu_vector(args.norm).values().data();
  const int64_t group_size = value_size / args.n_groups;
  threads_.parallel_for(n_rows, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t first = 0; first < value_size; first += group_size) {
        kernels_.rms_norm({args.gate.row_data(t) + first, norm + first, args.out.row_data(t) + first,
                           group_size, args.norm_epsilon});
      }
    }
  });
}

}  // namespace halod

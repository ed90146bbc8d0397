// Every kernel family on a device against the reference in kernels/ops: when a device is opened, and in the
// tests over many shapes.
//
// Each check makes its inputs (fixed seeds, some values 20 times larger: without outliers, rounding hides
// mistakes in scales), runs kernels, and returns the errors. The rounding of activations to 8 bits is no
// error: the reference gets the rounded ones.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/quant/formats.h"
#include "runtime/backend/hip/device.h"

namespace halod::hip {

struct KernelCheck {
  std::string what;  ///< "linear_4 Q6_K 37x512"
  double nmse = 0;   ///< squared error relative to the reference's power; 1 where an exact result is not
  /// f32 sums of some thousand terms against f64 ones stay a hundred times below it; one wrong value does
  /// not.
  double bound = 1e-10;
  bool passed() const { return nmse <= bound; }  // so that NaN fails
};
using KernelChecks = std::vector<KernelCheck>;

/// Norm, rounding to 8 bits, gathering and argmax of rows of `cols`.
KernelChecks check_rows(Device& device, int cols);
/// Expansion of rows of a matrix, bit for bit.
KernelChecks check_embed(Device& device, Format format, int cols);

/// Rows of x gathered into the orders of their experts' columns, and rounded; an embedding in such an order.
KernelChecks check_column_orders(Device& device, Format embedding, int cols);

struct LinearShape {
  std::vector<Format> formats;  ///< of one to four matrices
  int rows = 0;                 ///< of each
  int cols = 0;
  int n_tokens = 0;
  bool add = false;
  bool has_bias = false;  ///< of one matrix
};
KernelChecks check_linear(Device& device, const LinearShape& shape);

struct AttentionShape {
  int n_heads = 0, n_kv_heads = 0, head_dim = 0;
  std::vector<int> n_keys;  ///< of each row; every row is a sequence of its own
  bool has_norms = true;
  bool has_biases = false;
  int n_rotated = 0;  ///< leading values of a head; 0 = all
  bool pairs_neighbours = false;
  int window = 0;
  bool has_sinks = false;
  bool is_gated = false;  ///< queries lie beside their gates
};
KernelChecks check_attention(Device& device, const AttentionShape& shape);

struct ExpertsShape {
  Format router = Format::kF32, gate = Format::kQ4_K, up = Format::kQ4_K, down = Format::kQ6_K;
  int n_experts = 0, n_per_token = 0, hidden_size = 0, width = 0, n_tokens = 0;
  bool has_biases = false;
  Gating gating = Gating::kSoftmax;
  float weights_scale = 1;
  bool has_selection_bias = false;  ///< kSigmoid's
  GatedActivation activation = GatedActivation::kSwiglu;
  int shared_width =
      0;  ///< of a shared expert in the others' formats, weighed by a row in the router's; 0 = none
  bool has_orders = false;  ///< columns of the router and of that row are in orders of their own
};
KernelChecks check_experts(Device& device, const ExpertsShape& shape);
/// gate_up for several tokens of one matrix each, as dense layers use it.
KernelChecks check_dense_gate_up(Device& device, const ExpertsShape& shape);

struct RecurrentCheckShape {
  int head_dim = 0, n_key_heads = 0, n_value_heads = 0;
  std::vector<int> n_tokens;  ///< of each sequence
  bool tiles_value_heads = false;
  bool has_gates_by_key_head = false;  ///< beta and alpha in one matrix
};
/// Convolution and gated delta rule against the reference; and the bits of any cut into steps and launches.
KernelChecks check_recurrent(Device& device, const RecurrentCheckShape& shape);

struct Mamba2CheckShape {
  int n_groups = 0, n_heads = 0, head_dim = 0, state_size = 0;
  std::vector<int> n_tokens;  ///< of each sequence
  bool has_conv_bias = true;
};
/// Convolution, scan, gate and norm against the reference; and the bits of any cut into steps and launches.
KernelChecks check_mamba2(Device& device, const Mamba2CheckShape& shape);

// -- prompts: held against the reference, and against the bits of the decode kernels

/// One or several matrices, `tile` rows of x at once.
KernelChecks check_prompt_linear(Device& device, const LinearShape& shape, const PromptTile& tile);

/// Which experts the tokens choose.
enum class Routing : uint8_t {
  kSpread,  ///< all kinds, in a fixed random order
  kUneven,  ///< the first n_per_token experts take every token but the last; some experts have none
};
struct PromptExpertsShape {
  Format gate = Format::kQ4_K, up = Format::kQ4_K, down = Format::kQ6_K;
  int n_experts = 0, n_per_token = 0, hidden_size = 0, width = 0, n_tokens = 0;
  Routing routing = Routing::kSpread;
  bool has_biases = false;
  GatedActivation activation = GatedActivation::kSwiglu;
  int shared_width = 0;  ///< of a shared expert, added to the sum; 0 = none
  bool add = true;       ///< to what is there
};
/// Sorting, gate and up, down, and the sum of experts.
KernelChecks check_prompt_experts(Device& device, const PromptExpertsShape& shape, const PromptTile& linear,
                                  const PromptTile& gate_up);

struct PromptAttentionShape {
  int n_heads = 0, n_kv_heads = 0, head_dim = 0;
  struct Sequence {
    int n_past = 0;
    int n_new = 0;
  };
  std::vector<Sequence> sequences;
  int window = 0;
  bool has_sinks = false;
  bool is_gated = false;  ///< by what lies beside the queries
};
/// Against attention in double over the f16 keys and values; and the bits of the tiles' kernel against those
/// of the single rows'.
KernelChecks check_prompt_attention(Device& device, const PromptAttentionShape& shape);

/// A few rows of every kernel and format: what a device is tested by when it is opened.
using SelfTest = std::function<KernelChecks(Device&)>;
std::vector<SelfTest> self_tests();
/// All of them. Errors: kUnsupported naming the device and the first kernel whose
/// results are wrong.
Result<> self_test(Device& device);

}  // namespace halod::hip

// The operations that models may call. A model is written once against this; each device implements it.
//
// All activations are f32 matrices [n_tokens, features] in memory that allocate_activations() gave: the
// device's, which only the operations look into. A step is begin_step(), operations, output() for the rows
// whose logits are wanted, and synchronize(); calls are ordered as on one stream. Rows are independent: row i
// of a result depends on row i of the inputs alone and is bit-identical whatever the number of rows.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "base/tensor_view.h"
#include "runtime/backend/tuning/tuner.h"
#include "runtime/weights/checkpoint.h"
#include "runtime/weights/model_config.h"

namespace halod {

/// Tokens per KV page. A power of two; small enough that a short chat wastes little, large enough to amortise
/// a page's address.
inline constexpr int64_t kKvPageTokens = 32;

/// A weight matrix (or a stack of them, one per expert) placed on the device in the layout its kernels want.
class PlacedWeight {
 public:
  virtual ~PlacedWeight() = default;
  int64_t rows() const { return rows_; }            ///< out_features, of one expert
  int64_t cols() const { return cols_; }            ///< in_features
  int64_t n_experts() const { return n_experts_; }  ///< 1 for plain matrices
  uint64_t bytes() const { return bytes_; }         ///< on the device, all experts

 protected:
  PlacedWeight(int64_t rows, int64_t cols, int64_t n_experts, uint64_t bytes)
      : rows_(rows), cols_(cols), n_experts_(n_experts), bytes_(bytes) {}

 private:
  int64_t rows_, cols_, n_experts_;
  uint64_t bytes_;
};

/// A small vector of f32, such as the weights of a norm, placed on the device.
class PlacedVector {
 public:
  virtual ~PlacedVector() = default;
  int64_t size() const { return size_; }
  uint64_t bytes() const { return static_cast<uint64_t>(size_) * sizeof(float); }

 protected:
  explicit PlacedVector(int64_t size) : size_(size) {}

 private:
  int64_t size_;
};

/// Device storage of all layers' keys and values, in pages.
class KvStorage {
 public:
  virtual ~KvStorage() = default;
  virtual uint64_t bytes() const = 0;
};

struct KvShape {
  int64_t n_layers = 0;
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
};

/// What recurrent layers keep of a sequence, f32: per layer the convolution's last inputs and the heads'
/// matrices.
struct RecurrentShape {
  int64_t n_layers = 0;
  int64_t conv_channels = 0;
  int64_t conv_kernel = 0;
  int64_t n_heads = 0;
  int64_t head_dim = 0;  ///< of values: columns of a head's matrix
  int64_t key_dim = 0;   ///< its rows; 0 = head_dim

  int64_t matrix_rows() const { return key_dim > 0 ? key_dim : head_dim; }
  int64_t conv_floats() const { return (conv_kernel - 1) * conv_channels; }
  int64_t floats_per_layer() const { return conv_floats() + n_heads * matrix_rows() * head_dim; }
  uint64_t bytes_per_slot() const {
    return static_cast<uint64_t>(n_layers * floats_per_layer()) * sizeof(float);
  }
};

/// Device storage of the recurrent layers' states, in slots.
class RecurrentStates {
 public:
  virtual ~RecurrentStates() = default;
  virtual uint64_t bytes() const = 0;
};

/// One sequence's rows within the step, for attention.
struct AttentionSequence {
  std::span<const PageId> pages;
  int32_t n_past = 0;
  int32_t n_new = 0;
  int32_t state_slot = 0;  ///< of the recurrent layers; what is in it counts only where n_past > 0
};

/// What one step computes, in the host's memory: read before begin_step() returns, but for the pages, which
/// stay until the step ends.
struct StepInputs {
  std::span<const TokenId> tokens;               ///< one per batch row
  std::span<const AttentionSequence> sequences;  ///< their n_new rows, in order, are the batch's
  std::span<const int32_t> logit_rows;           ///< batch rows whose logits are wanted, ascending
  std::span<const float> inverse_frequencies;    ///< of the rotary positions, radians per position
  float rope_magnitude = 1;                      ///< times cosines and sines
};

/// What some models need beyond the plain form of the operations below.
enum class ModelFeature : uint8_t {
  kNeighbourRope,  ///< AttentionArgs::rope_pairing
  kBias,           ///< of AttentionArgs and linear_add()
  kSlidingWindow,  ///< AttentionArgs::window
  kAttentionSinks,
  kRouterGating,   ///< MoeArgs::gating and weights_scale
  kSelectionBias,  ///< MoeArgs::selection_bias
  kExpertBias,
  kExpertActivation,
  kPartialRope,     ///< frequencies for less than head_dim / 2 pairs
  kGatedAttention,  ///< AttentionArgs::gated_q
  kSharedExpert,
  kFusedExperts,    ///< MoeArgs::has_fused_gate_up
  kRecurrentState,  ///< allocate_states(), gated_delta_net()
  kMamba2,          ///< allocate_states(), mamba2()
  kUngatedFfn,      ///< ExpertActivation::kSquaredRelu
  kLatentExperts,   ///< MoeArgs::latent
  kColumnOrder,     ///< TensorInfo::has_column_order
};
/// For people: "rotary embedding of neighbours".
std::string_view to_string(ModelFeature feature);

struct AttentionArgs {
  MatrixView<float> q;  ///< [n_tokens, n_heads * head_dim]; changed in place
  /// [n_tokens, n_heads * 2 * head_dim] each head's query and then the gate's logits: the result is
  /// multiplied by their sigmoid. q is room for the queries then, and gate, of q's shape, for the gates.
  /// Empty = none.
  MatrixView<const float> gated_q = {};
  MatrixView<float> gate = {};
  MatrixView<float> k;                   ///< [n_tokens, n_kv_heads * head_dim]; changed in place
  MatrixView<float> v;                   ///< the same
  const PlacedVector* q_bias = nullptr;  ///< [n_heads * head_dim], added first; nullptr = none
  const PlacedVector* k_bias = nullptr;  ///< [n_kv_heads * head_dim]; nullptr = none
  const PlacedVector* v_bias = nullptr;  ///< the same
  const PlacedVector* q_norm = nullptr;  ///< [head_dim] RMS norm weight per head; nullptr = none
  const PlacedVector* k_norm = nullptr;  ///< [head_dim]; nullptr = none
  float norm_epsilon = 0;
  float scale = 0;  ///< of q.k before the softmax
  RopePairing rope_pairing = RopePairing::kHalves;
  int64_t window = 0;                   ///< keys seen, the row's own included; 0 = all
  const PlacedVector* sinks = nullptr;  ///< [n_heads] one more logit in each head's softmax; nullptr = none
  int64_t layer_idx = 0;
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
  MatrixView<float> out;  ///< [n_tokens, n_heads * head_dim]
};

/// What a feed-forward layer reads and adds to: x = rms_norm(residual), residual += layer(x). The norm
/// belongs to it, so that a device can compute it where it is used.
struct FfnInput {
  MatrixView<float> residual;  ///< [n_tokens, hidden_size]
  const PlacedVector& norm;    ///< [hidden_size]
  float norm_epsilon = 0;
  MatrixView<float> normed;  ///< [n_tokens, hidden_size]: room for x
};

/// Added to the products of the router and of each expert.
struct ExpertBiases {
  const PlacedVector& router;  ///< [n_experts]
  const PlacedVector& gate;    ///< [n_experts * moe_intermediate_size]
  const PlacedVector& up;      ///< the same
  const PlacedVector& down;    ///< [n_experts * hidden_size]
};

/// An expert that every token goes to.
struct SharedExpert {
  const PlacedWeight& gate;             ///< [shared_expert_intermediate_size, hidden_size]
  const PlacedWeight& up;               ///< the same; `gate` again where the activation has no gate
  const PlacedWeight& down;             ///< [hidden_size, shared_expert_intermediate_size]
  const PlacedWeight* scale = nullptr;  ///< [1, hidden_size]: times sigmoid(scale x); nullptr = 1
};

/// Experts of another width than the layer: they read down(x), and up(their sum) is added. Router and shared
/// expert see x itself.
struct LatentExperts {
  const PlacedWeight& down;  ///< [latent_size, hidden_size]
  const PlacedWeight& up;    ///< [hidden_size, latent_size]
};

struct MoeArgs {
  FfnInput input;
  const PlacedWeight& router;       ///< [n_experts, hidden_size]
  const PlacedWeight& gate;         ///< n_experts x [moe_intermediate_size, hidden_size]
  const PlacedWeight& up;           ///< the same; `gate` again where that has up's rows behind its own, or
                                    ///< where the activation has no gate and this is the only one
  const PlacedWeight& down;         ///< n_experts x [hidden_size, moe_intermediate_size]
  int64_t n_experts_per_token = 0;  ///< the weighted sum of so many experts is added
  RouterGating gating = RouterGating::kSoftmax;
  float weights_scale = 1;                       ///< of the experts' shares
  const PlacedVector* selection_bias = nullptr;  ///< [n_experts] added to the scores for the choice alone
  const ExpertBiases* biases = nullptr;          ///< nullptr = none
  ExpertActivation activation = ExpertActivation::kSwiglu;
  const SharedExpert* shared = nullptr;   ///< nullptr = none
  const LatentExperts* latent = nullptr;  ///< latent_size stands for hidden_size in gate, up and down

  bool has_fused_gate_up() const { return &gate == &up && has_gate(activation); }
  int64_t expert_width() const { return has_fused_gate_up() ? gate.rows() / 2 : gate.rows(); }
};

/// A recurrent layer between its matrices, for every sequence from its own state on.
struct GatedDeltaNetArgs {
  MatrixView<float> qkv;    ///< [n_tokens, 2 n_key_heads * head_dim + n_value_heads * head_dim]; overwritten
  MatrixView<float> gate;   ///< [n_tokens, n_value_heads * head_dim]: z, then norm(result) * silu(z)
  MatrixView<float> beta;   ///< [n_tokens, n_value_heads] logits; where beta_alpha has them, room for them
  MatrixView<float> alpha;  ///< the same shape: what the decay depends on
  /// [n_tokens, 2 n_value_heads] both by key head, its value heads' betas before their alphas; empty = apart.
  MatrixView<const float> beta_alpha;
  const PlacedVector& conv;     ///< [conv_kernel * all channels of qkv], oldest tap first
  const PlacedVector& dt_bias;  ///< [n_value_heads]
  const PlacedVector& a;        ///< [n_value_heads], negative
  const PlacedVector& norm;     ///< [head_dim]
  float norm_epsilon = 0;
  int64_t n_key_heads = 0;
  int64_t n_value_heads = 0;
  int64_t head_dim = 0;
  int64_t conv_kernel = 0;
  bool tiles_value_heads = false;  ///< see RecurrentConfig
  int64_t layer_idx = 0;           ///< among the recurrent ones
};

/// A Mamba-2 layer between its matrices, for every sequence from its own state on.
struct Mamba2Args {
  MatrixView<float> gate;      ///< [n_tokens, n_heads * head_dim]: z; overwritten
  MatrixView<float> channels;  ///< [n_tokens, n_heads * head_dim + 2 n_groups * state_size]: x, B and C side
                               ///< by side, before the convolution; overwritten
  MatrixView<const float> dt;  ///< [n_tokens, n_heads]: what the steps depend on
  MatrixView<float> out;       ///< [n_tokens, n_heads * head_dim]: norm(result * silu(z))
  const PlacedVector& conv;    ///< [conv_kernel * all channels], oldest tap first
  const PlacedVector* conv_bias;  ///< [all channels]; nullptr = none
  const PlacedVector& dt_bias;    ///< [n_heads]
  const PlacedVector& a;          ///< [n_heads], negative
  const PlacedVector& skip;       ///< [n_heads]: times x, added to the result
  const PlacedVector& norm;       ///< [n_heads * head_dim], over each group's part
  float norm_epsilon = 0;
  int64_t n_groups = 0;  ///< head h reads group h / (n_heads / n_groups)
  int64_t n_heads = 0;
  int64_t head_dim = 0;
  int64_t state_size = 0;
  int64_t conv_kernel = 0;
  int64_t layer_idx = 0;  ///< among the recurrent ones
};

struct DenseFfnArgs {
  FfnInput input;
  const PlacedWeight& gate;  ///< [intermediate_size, hidden_size]
  const PlacedWeight& up;    ///< the same; `gate` again where the activation has no gate
  const PlacedWeight& down;  ///< down(activation(gate x, up x)) is added
  ExpertActivation activation = ExpertActivation::kSwiglu;  ///< kSquaredRelu needs kUngatedFfn
};

struct TokenLogit {
  TokenId token{};
  float logit = 0;
};
/// A row of logits of which nothing but the best tokens may be wanted.
struct BestTokens {
  int32_t n_wanted = 0;  ///< by the caller, at most the vocabulary's; 0 = the row's logits are wanted
  /// By the device: so many, best first, equal ones by lower id, any NaN before all others; the row's logits
  /// are not filled then. Or nothing, and they are.
  std::vector<TokenLogit> found;
};

struct OutputArgs {
  MatrixView<const float> x;   ///< [n_rows, hidden_size], normalised
  const PlacedWeight& weight;  ///< [vocab_size, hidden_size]
  MatrixView<float> logits;    ///< [n_rows, vocab_size], the host's
  std::span<BestTokens> best;  ///< empty, or one per row
};

/// Which kernel variant does an operation; names as in the tables of kernels/ops.
struct SelectedKernel {
  std::string operation;    ///< "matmul"
  std::string format;       ///< of the weights or the cache: "Q8_0"; empty where there is none
  std::string variant;      ///< "avx512_vnni_tiles16"
  std::string tuning = {};  ///< "tuned", "untuned"; empty: there is nothing to choose from
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;         ///< "cpu"
  virtual std::string device_name() const = 0;  ///< for people

  // -- memory
  // ---------------------------------------------------------------------------------------------------------
  /// Reads the tensor and places it. Shape {rows, cols} or {experts, rows, cols}. `on_bytes` is told each
  /// amount of file bytes done. Errors: kUnsupported when no kernel takes the format; kOutOfMemory; kIo.
  virtual Result<std::unique_ptr<PlacedWeight>> place_weight(
      const Checkpoint& file, const TensorInfo& tensor, const std::function<void(uint64_t)>& on_bytes) = 0;
  /// Errors: kOutOfMemory.
  virtual Result<std::unique_ptr<PlacedVector>> place_vector(std::span<const float> values) = 0;
  virtual uint64_t kv_page_bytes(const KvShape& shape) const = 0;
  /// Errors: kUnsupported for a shape that no kernel takes; kOutOfMemory.
  virtual Result<std::unique_ptr<KvStorage>> allocate_kv(const KvShape& shape, int64_t n_pages) = 0;
  /// Room for so many sequences' states. Needs kRecurrentState or kMamba2. Errors: kOutOfMemory.
  virtual Result<std::unique_ptr<RecurrentStates>> allocate_states(const RecurrentShape& shape,
                                                                   int64_t n_slots);
  /// Room for a [rows, cols] f32 matrix, kept until the backend is destroyed.
  virtual Result<MatrixView<float>> allocate_activations(int64_t rows, int64_t cols) = 0;
  /// Bytes of activations and kernel scratch so far.
  virtual uint64_t scratch_bytes() const = 0;

  /// Whether there are kernels for weights of this format; place_weight() refuses the others.
  virtual bool takes_format(Format /*format*/) const { return true; }
  /// Whether the operations do this. Models that need what is missing are refused before they are loaded.
  virtual bool supports(ModelFeature feature) const = 0;

  /// What the device has left, where it has less than the machine; at most 2^64 - 1.
  virtual uint64_t available_bytes() const { return ~uint64_t{0}; }
  /// Whether the machine counts memory as used from its allocation on, as a device's, or only once it is
  /// touched.
  virtual bool takes_memory_at_once() const { return false; }

  // -- operations
  // -----------------------------------------------------------------------------------------------------
  /// Before all others of a step. Also cos(position * f) and sin(position * f) of every row, which all layers
  /// share.
  virtual void begin_step(const StepInputs& inputs) = 0;
  /// out[t] = row tokens[t] of the embedding matrix, expanded to f32.
  virtual void embed(const PlacedWeight& embedding, MatrixView<float> out) = 0;
  /// out[i] = x[logit_rows[i]].
  virtual void gather_logit_rows(MatrixView<const float> x, MatrixView<float> out) = 0;
  /// out[t, i] = x[t, i] / sqrt(mean_i(x[t, i]^2) + epsilon) * weight[i]. out may alias x.
  virtual void rms_norm(MatrixView<const float> x, const PlacedVector& weight, float epsilon,
                        MatrixView<float> out) = 0;
  /// outs[i] = x * weights[i]^T: several matrices that read the same x (q, k and v), so that x is prepared
  /// once.
  virtual void linear(MatrixView<const float> x, std::span<const PlacedWeight* const> weights,
                      std::span<const MatrixView<float>> outs) = 0;
  /// residual += x * weight^T + bias; bias: [residual.cols], nullptr = none.
  virtual void linear_add(MatrixView<const float> x, const PlacedWeight& weight, const PlacedVector* bias,
                          MatrixView<float> residual) = 0;
  /// Convolution, delta rule, norm and gate; states go on from n_past, from zero where that is 0. Needs
  /// kRecurrentState.
  virtual void gated_delta_net(const GatedDeltaNetArgs& args, RecurrentStates& states);
  /// Convolution, scan, gate and norm; states as above. Needs kMamba2.
  virtual void mamba2(const Mamba2Args& args, RecurrentStates& states);
  /// Adds the biases, norms and rotates q and k, stores k and v into the pages, and attends causally over all
  /// of them.
  virtual void attention(const AttentionArgs& args, KvStorage& kv) = 0;
  /// Router, top-k, shares that sum to weights_scale; then the experts.
  virtual void moe(const MoeArgs& args) = 0;
  virtual void dense_ffn(const DenseFfnArgs& args) = 0;
  /// logits = x weight^T for the host, or only what it wants to know of them. The one operation whose results
  /// the host reads; they are there when it returns.
  virtual void output(const OutputArgs& args) = 0;
  /// Waits until all of the above is done.
  virtual void synchronize() = 0;

  /// What does which operation, for people: of weights, those placed so far. Empty where a backend does not
  /// say.
  virtual std::vector<SelectedKernel> selections() const { return {}; }

  /// Chooses kernels by measuring them. nullptr: nothing of this backend can be tuned.
  virtual Tuner* tuner() { return nullptr; }
};

struct BackendOptions {
  std::string kind = "auto";  ///< auto (hip where it can, else cpu), cpu, hip
  int n_threads = 0;          ///< CPU workers, which load weights for a GPU too; 0 = one per physical core
  bool gpu_graphs = false;    ///< a GPU's steps that repeat become one launch each
  bool exact = false;  ///< reference kernels in f32 on the file's own blocks, f32 KV: slow, for comparing
};

/// One thread per physical core that this process may compute on (AllowedCpus::n_threads). Thread: any.
int default_cpu_threads();

/// Errors: kUnsupported with the reason when the wanted kind cannot run here.
Result<std::unique_ptr<Backend>> make_backend(const BackendOptions& options);

}  // namespace halod

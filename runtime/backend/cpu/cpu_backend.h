// The CPU backend: decides layouts and threads; all arithmetic is in kernels/.
//
// Every operation is one or a few parallel regions over (weight rows, experts, heads or tokens); results do
// not depend on how they are cut.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/mapped_arena.h"
#include "base/mapped_memory.h"
#include "base/thread_pool.h"
#include "kernels/ops/activations.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/elementwise.h"
#include "kernels/ops/matmul.h"
#include "kernels/ops/recurrent.h"
#include "runtime/backend/backend.h"
#include "runtime/backend/cpu/cpu_tuner.h"
#include "runtime/backend/cpu/cpu_weights.h"

namespace halod {

class CpuBackend final : public Backend {
 public:
  CpuBackend(int n_threads, bool exact);

  std::string name() const override { return "cpu"; }
  std::string device_name() const override;

  Result<std::unique_ptr<PlacedWeight>> place_weight(const Checkpoint& file, const TensorInfo& tensor,
                                                     const std::function<void(uint64_t)>& on_bytes) override;
  Result<std::unique_ptr<PlacedVector>> place_vector(std::span<const float> values) override;
  uint64_t kv_page_bytes(const KvShape& shape) const override;
  Result<std::unique_ptr<KvStorage>> allocate_kv(const KvShape& shape, int64_t n_pages) override;
  Result<std::unique_ptr<RecurrentStates>> allocate_states(const RecurrentShape& shape,
                                                           int64_t n_slots) override;
  Result<MatrixView<float>> allocate_activations(int64_t rows, int64_t cols) override;
  uint64_t scratch_bytes() const override;

  bool supports(ModelFeature) const override { return true; }

  void begin_step(const StepInputs& inputs) override;
  void embed(const PlacedWeight& embedding, MatrixView<float> out) override;
  void gather_logit_rows(MatrixView<const float> x, MatrixView<float> out) override;
  void rms_norm(MatrixView<const float> x, const PlacedVector& weight, float epsilon,
                MatrixView<float> out) override;
  void linear(MatrixView<const float> x, std::span<const PlacedWeight* const> weights,
              std::span<const MatrixView<float>> outs) override;
  void linear_add(MatrixView<const float> x, const PlacedWeight& weight, const PlacedVector* bias,
                  MatrixView<float> residual) override;
  void gated_delta_net(const GatedDeltaNetArgs& args, RecurrentStates& states) override;
  void mamba2(const Mamba2Args& args, RecurrentStates& states) override;
  void attention(const AttentionArgs& args, KvStorage& kv) override;
  void moe(const MoeArgs& args) override;
  void dense_ffn(const DenseFfnArgs& args) override;
  void output(const OutputArgs& args) override;
  void synchronize() override {}
  std::vector<SelectedKernel> selections() const override;
  Tuner* tuner() override { return exact_ ? nullptr : &tuner_; }

 private:
  /// Takes the heads of x apart: each one's first left.cols / n_heads values, and the rest.
  void split_heads(MatrixView<const float> x, int64_t n_heads, MatrixView<float> left,
                   MatrixView<float> right);
  /// x[t, i] *= sigmoid(gate[t, i]).
  void gate_by_sigmoid(MatrixView<float> x, MatrixView<const float> gate);
  /// The first row of each table that this CPU runs (the reference when exact).
  struct Kernels {
    void (*quantize_activations)(const QuantizeActivationsArgs&);
    void (*attention)(const AttentionKernelArgs&);
    void (*kv_store)(const KvStoreArgs&);
    void (*rms_norm)(const RmsNormArgs&);
    void (*rope)(const RopeArgs&);
    void (*swiglu)(const SwigluArgs&);
    void (*clamped_swiglu)(const ClampedSwigluArgs&);
    void (*squared_relu)(const SquaredReluArgs&);
    void (*sigmoid_gate)(const SigmoidGateArgs&);
    void (*causal_conv)(const CausalConvArgs&);
    void (*delta_rule)(const DeltaRuleArgs&);
    void (*delta_gates)(const DeltaGatesArgs&);
    void (*ssm_scan)(const SsmScanArgs&);
    void (*ssm_gates)(const SsmGatesArgs&);
    void (*weighted_sum)(const WeightedSumArgs&);
    void (*router_top_k)(const RouterTopKArgs&);
  };
  static Kernels select_kernels(bool exact);

  /// Grows to the largest batch seen and stays: scratch belongs to the backend, not to a call.
  template <class T>
  class Scratch {
   public:
    T* at_least(int64_t n) {
      if (static_cast<size_t>(n) > values_.size()) values_.resize(static_cast<size_t>(n));
      return values_.data();
    }
    uint64_t bytes() const { return values_.capacity() * sizeof(T); }

   private:
    std::vector<T> values_;
  };
  /// The 8-bit form of one matrix of activations.
  struct QuantizedScratch {
    Scratch<int8_t> codes;
    Scratch<float> scales, scaled_sums;
    Scratch<int32_t> negated_sums16;
    uint64_t bytes() const {
      return codes.bytes() + scales.bytes() + scaled_sums.bytes() + negated_sums16.bytes();
    }
  };
  /// Which rows of the batch go to which expert, and with what weight.
  struct Routing {
    std::vector<int32_t> experts;     ///< [n_tokens * k], by token then rank
    std::vector<float> weights;       ///< the same order
    std::vector<int32_t> first_slot;  ///< [n_experts + 1] into the next two
    std::vector<int32_t> token_rows;  ///< batch row of each (expert, token) pair, grouped by expert
    std::vector<int32_t> slots;       ///< token * k + rank of the same pair: where its result goes
    std::vector<int32_t> active;      ///< experts with at least one token
  };

  /// Which sequence a batch row belongs to, and where in it the row's token stands.
  struct RowPlace {
    const AttentionSequence* sequence;
    int64_t position;
  };
  /// Rows of one sequence, whose positions follow one another.
  struct RowRun {
    int64_t first_row, n_rows;
  };
  /// All rows, in order, in runs of `most` at most.
  static std::vector<RowRun> neighbouring_rows(const std::vector<RowPlace>& places, int64_t most);
  /// What begin_step() was told.
  struct StepState {
    std::vector<TokenId> tokens;
    std::vector<AttentionSequence> sequences;
    std::vector<int32_t> logit_rows;
    std::vector<RowPlace> places;     ///< into `sequences`
    std::vector<int64_t> first_rows;  ///< of each sequence
    MatrixView<float> rope;           ///< [n_tokens, 2 * frequencies]: cosines, sines
  };

  /// ThreadPool::parallel_for where there is enough work to share, otherwise on this thread.
  void parallel_for(int64_t n_items, int64_t chunk, int64_t n_multiplications,
                    const std::function<void(int64_t begin, int64_t end, int worker_idx)>& task);
  /// y += x, n values.
  void add(const float* x, float* y, int64_t n);
  /// x[t, i] += bias[i].
  void add_bias(MatrixView<float> x, const PlacedVector& bias);
  /// Prepares rows for a matmul; the 8-bit form only when one of the users needs it.
  Activations prepare(MatrixView<const float> x, bool needs_codes, QuantizedScratch& scratch);
  /// x in the order of the weight's columns: x itself where that is its own, else in `scratch`.
  MatrixView<const float> in_order_of(const CpuWeight& weight, MatrixView<const float> x,
                                      Scratch<float>& scratch);
  /// The same for each (token, rank) pair in the order of its expert's columns; each row of x is that of
  /// `slots_per_row` pairs.
  MatrixView<const float> slots_in_order(const CpuWeight& weight, MatrixView<const float> x,
                                         int64_t slots_per_row, Scratch<float>& scratch);
  /// linear() of weights whose columns are all in the order of x.
  void linear_in_order(MatrixView<const float> x, std::span<const PlacedWeight* const> weights,
                       std::span<const MatrixView<float>> outs);
  void route(const MoeArgs& args);
  /// gate = activation(gate, up), n values; `up` is not read where there is no gate.
  void activate(ExpertActivation activation, float* gate, const float* up, int64_t n);
  /// What experts read: a row per token, or in their columns' orders a row per (token, rank) pair.
  struct ExpertInputs {
    Activations gate, up;
    bool by_slot = false;
  };
  ExpertInputs expert_inputs(const MoeArgs& args, MatrixView<const float> x);
  void experts_gate_up(const MoeArgs& args, const ExpertInputs& x, MatrixView<float> hidden);
  void add_shared_expert(const MoeArgs& args);
  void experts_down(const MoeArgs& args, const Activations& hidden, MatrixView<float> outputs);
  void matmul(const Activations& x, const CpuWeight& weight, MatrixView<float> y, bool accumulate);
  /// The causal convolution of a recurrent layer, for every sequence from its state on.
  struct Convolution {
    MatrixView<float> x;  ///< [n_tokens, channels], in place
    const PlacedVector& weight;
    const PlacedVector* bias;
    int64_t n_taps;
    int64_t layer_idx;
  };
  void convolve(const Convolution& args, RecurrentStates& states);
  void normalise_rotate_store(const AttentionArgs& args, KvStorage& kv);
  void compute_rope(std::span<const float> inverse_frequencies, float magnitude);

  bool exact_;
  KvType kv_type_;
  Kernels kernels_;
  ThreadPool threads_;
  CpuTuner tuner_;
  MappedArena weights_;
  ColumnOrders orders_;
  std::vector<MappedMemory> activations_;
  QuantizedScratch x_scratch_, up_x_scratch_, hidden_scratch_;
  Scratch<float> ordered_, up_ordered_;  // activations in the order of weights' columns
  Scratch<float> gate_, up_, router_logits_, expert_outputs_, latent_, rope_, gates_;
  std::vector<Scratch<float>> up_tile_;  ///< per worker
  Routing routing_;
  StepState step_;
};

}  // namespace halod

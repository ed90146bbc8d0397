// The GPU backend: decides layouts, scratch and launches; all arithmetic is in kernels/hip.
//
// A decode step of a mixture-of-experts layer is eight launches: norm, q/k/v, norm and rotation and cache,
// attention, its output matrix, router, gate and up, down. Products of more than eight rows are taken by
// tiles, on the matrix unit where weights are quantised, with the same bits.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/hip/args.h"
#include "kernels/hip/recurrent_args.h"
#include "runtime/backend/backend.h"
#include "runtime/backend/hip/attention_plan.h"
#include "runtime/backend/hip/device.h"
#include "runtime/backend/hip/hip_tuner.h"
#include "runtime/backend/hip/hip_weights.h"

namespace halod::hip {

class HipBackend final : public Backend {
 public:
  /// Tests the device's kernels first. Errors: kUnsupported naming the kernel whose results are wrong.
  static Result<std::unique_ptr<Backend>> open(std::unique_ptr<Device> device, int n_threads);
  /// For a device whose kernels are known to be right, as the lanes' are by the tests: the self-test takes
  /// them seconds.
  static std::unique_ptr<Backend> open_untested(std::unique_ptr<Device> device, int n_threads);
  ~HipBackend() override;

  std::string name() const override { return "hip"; }
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
  bool takes_format(Format format) const override;
  bool supports(ModelFeature feature) const override;
  uint64_t available_bytes() const override;
  bool takes_memory_at_once() const override { return true; }

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
  void synchronize() override;
  std::vector<SelectedKernel> selections() const override;
  Tuner* tuner() override { return &tuner_; }

 private:
  HipBackend(std::unique_ptr<Device> device, int n_threads);

  /// A matrix of activations and, behind it, room for its 8-bit form.
  struct Activation {
    DeviceMemory memory;
    int64_t rows = 0, cols = 0;
    ActivationResult device;
    /// Rows whose 8-bit form is that of their values, and their columns: fewer where they are packed.
    int64_t first_coded_row = 0, n_coded_rows = 0, coded_cols = 0;
  };
  /// Some rows of one.
  struct ActivationSlice {
    Activation* matrix = nullptr;
    int64_t first_row = 0, n_rows = 0;
  };
  /// Device memory that grows to the largest use seen, and what is in it is worthless then.
  class Scratch {
   public:
    Scratch(Device& device, bool is_zeroed = false) : device_(device), is_zeroed_(is_zeroed) {}
    /// Throws DeviceError where there is no memory: the plan counted it before the model was loaded.
    unsigned char* at_least(int64_t n_bytes);
    template <class T>
    T* of(int64_t n) {
      return reinterpret_cast<T*>(at_least(n * static_cast<int64_t>(sizeof(T))));
    }
    uint64_t bytes() const { return memory_.size(); }

   private:
    Device& device_;
    bool is_zeroed_;
    DeviceMemory memory_;
  };
  /// What begin_step() brought to the device, by one copy.
  struct Step {
    int64_t n_rows = 0;
    int32_t longest = 0;  ///< keys of the row with the most
    const int32_t* tokens = nullptr;
    const StepRow* rows = nullptr;
    const uint32_t* pages = nullptr;
    const int32_t* logit_rows = nullptr;
    const float* rope = nullptr;
    int32_t n_rotated = 0;  ///< leading values of a head
    const StateSequence* sequences = nullptr;
    int64_t n_sequences = 0;
    int32_t most_rows = 0;  ///< of a sequence
    AttentionPlan plan;     ///< and on the device:
    const int32_t* row_ids = nullptr;
    std::array<const AttentionTile*, 4> tiles = {};
  };
  struct LinearJob {
    std::span<const PlacedWeight* const> weights;
    std::span<const MatrixView<float>> outs;
    bool add = false;
    const PlacedVector* bias = nullptr;  ///< of the only matrix
  };

  struct ExpertSlots {
    const int32_t* experts = nullptr;  ///< nullptr: one matrix, and a slot is a token
    int n_per_token = 1;
    int64_t n = 0;
  };
  /// The first half of a feed-forward layer.
  struct GateUp {
    WeightRows gate = {}, up = {};
    const HipWeight* weights[2] = {};          ///< that those are of
    WeightKind kind = WeightKind::kQuantised;  ///< of gate; where rows go by tiles, of both
    const ExpertBiases* biases = nullptr;
    GatedActivation activation = GatedActivation::kSwiglu;

    int64_t width() const { return gate.rows; }
    double operations_per_row() const;
  };
  static GateUp gate_up_of(const PlacedWeight& gate, const PlacedWeight& up, ExpertActivation activation);
  static GateUp gate_up_of(const MoeArgs& args);
  /// What a gate and an up are multiplied with.
  struct GateUpInput {
    ActivationRows x[2] = {};
    int slots_per_x = 1;
  };
  /// Of the expert that every token goes to.
  struct SharedPart {
    GateUp layer;
    GateUpInput x;
    ActivationResult h = {};
  };
  /// Of a step's tokens, on the device.
  struct ChosenExperts {
    const int32_t* experts = nullptr;       ///< [n_tokens, n_experts_per_token]
    const float* shares = nullptr;          ///< the same shape
    const float* shared_weights = nullptr;  ///< [n_tokens] of the shared expert; nullptr = ones
  };
  /// What the experts read and where their sum goes.
  struct ExpertsJob {
    ActivationRows x = {};
    ChosenExperts chosen;
    const SharedExpert* shared = nullptr;  ///< which reads and adds to the same; nullptr = none
    MatrixView<float> sum;
    bool add = false;
  };

  ActivationSlice find(MatrixView<const float> x);
  /// The rows, with their 8-bit form where it is wanted.
  ActivationRows read(MatrixView<const float> x, bool needs_codes);
  /// Rows that a kernel is about to fill, with or without their 8-bit form.
  ActivationResult write(MatrixView<float> y, bool with_codes);
  void multiply(const ActivationRows& x, int64_t n_rows, const LinearJob& job);
  /// All weights' columns are in the order of x.
  void multiply_in_order(const ActivationRows& x, int64_t n_rows, const LinearJob& job);
  // -- weights in an order of their own (hip_orders.cpp)

  /// The slots' rows of x, one for n_per_token slots, in the order of the weight's columns.
  ActivationRows in_order_of(const HipWeight& weight, const ActivationRows& x, const ExpertSlots& slots,
                             Scratch& room);
  /// first_room: of ordered_.
  GateUpInput input_of(const GateUp& layer, const ActivationRows& x, const ExpertSlots& slots,
                       int first_room = 0);
  // -- attention (hip_attention.cpp)

  void attend_by_tiles(const AttentionArgs& args, const unsigned char* layer, const ActivationResult& out);
  void attend_by_rows(const AttentionArgs& args, const unsigned char* layer, const ActivationResult& out);
  void attend_by_vectors(const AttentionArgs& args, const unsigned char* layer, const ActivationResult& out);
  // -- many rows (hip_prompts.cpp)

  /// Whether so many rows go through gate and up by tiles: in one launch, so they must be of one kind, and of
  /// one order.
  static bool fills_tiles(int64_t n_rows, std::span<const PlacedWeight* const> weights);
  static RowGroups all_rows(int64_t n_rows);
  /// Whether tuning, or the table, has so many rows of a launch go by tiles.
  static bool prefers_tiles(int64_t n_rows, const HipWeight& weight, bool is_linear);
  /// n_tokens: which the rows are of, several each where there are experts.
  void multiply_tiles(const ActivationRows& x, const RowGroups& groups, int64_t n_tokens,
                      const LinearJob& job);
  void multiply_prompt(const ActivationRows& x, int64_t n_rows, const LinearJob& job);
  void multiply_prompt_of_kind(const ActivationRows& x, int64_t n_rows, const LinearJob& job);
  void gate_up_tiles(const GateUp& layer, const ActivationRows& x, const RowGroups& groups, int64_t n_tokens,
                     const ActivationResult& h);
  void gate_up_prompt(const GateUp& layer, const ActivationRows& x, int64_t n_rows,
                      const ActivationResult& h);
  void experts_prompt(const MoeArgs& args, const ExpertsJob& job);

  void launch_linear(const ActivationRows& x, int64_t cols, int64_t first_row, int n_tokens,
                     const LinearJob& job);
  void launch_rms_norm(const float* x, const float* weight, float epsilon, int64_t n_rows, int64_t cols,
                       const ActivationResult& y);
  /// shared: nullptr = none; else its h is filled too.
  void gate_up(const GateUp& layer, const GateUpInput& x, const ExpertSlots& slots, const ActivationResult& h,
               const SharedPart* shared = nullptr);
  /// By whichever kernels so many rows go through.
  ActivationRows dense_gate_up(const GateUp& layer, bool fills_tiles, const ActivationRows& x, int64_t n_rows,
                               Scratch& room);
  ChosenExperts route(const MoeArgs& args, const ActivationResult& x);
  void experts(const MoeArgs& args, const ExpertsJob& job);
  void experts_decode(const MoeArgs& args, const ExpertsJob& job);
  void latent_experts(const MoeArgs& args, const ActivationRows& x, const ChosenExperts& chosen);
  /// [n_tokens, hidden_size] of the shared expert, before it is weighed.
  const float* shared_expert(const SharedExpert& shared, ExpertActivation activation, const ActivationRows& x,
                             int64_t n_tokens);
  static ActivationRows as_input(const ActivationResult& result) {
    return {result.values, result.codes, result.groups};
  }
  static ActivationResult hidden_room(Scratch& scratch, int64_t n_rows, int64_t cols);
  void read_logits(const OutputArgs& args, const float* logits);

  std::unique_ptr<Device> device_;
  ThreadPool threads_;
  WeightUploader uploader_;
  HipTuner tuner_;
  std::vector<std::unique_ptr<Activation>> activations_;
  Scratch inputs_, partials_, counters_, router_logits_, chosen_, hidden_, expert_results_, groups_, logits_,
      best_, shared_hidden_, shared_results_, shared_weights_, latent_, latent_sum_;
  std::array<Scratch, 4> ordered_;  ///< rows of x for the matrices of GateUpArgs
  PinnedMemory input_staging_, output_staging_;
  Step step_;
};

}  // namespace halod::hip

// The frame that decoder-only architectures share: embedding, layers, final norm, output matrix.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "runtime/models/blocks.h"
#include "runtime/models/model.h"
#include "runtime/models/rotary.h"

namespace halod {

/// One transformer layer: its blocks in the order of the forward pass.
using DecoderLayer = std::vector<std::unique_ptr<Block>>;

/// Makes layer `layer_idx`; throws ErrorException. `config` outlives the layer.
using DecoderLayerFactory =
    std::function<DecoderLayer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx)>;

class DecoderModel final : public Model {
 public:
  /// Throws ErrorException.
  DecoderModel(TensorLoader& loader, ModelConfig config, const ModelOptions& options,
               const DecoderLayerFactory& make_layer);

  const ModelConfig& config() const override { return config_; }
  int64_t n_kv_pages() const override { return options_.n_kv_pages; }
  uint64_t kv_page_bytes() const override {
    return kv_->bytes() / static_cast<uint64_t>(options_.n_kv_pages);
  }
  uint64_t weight_bytes() const override { return weight_bytes_; }
  uint64_t scratch_bytes() const override {
    return backend_.scratch_bytes() + (states_ ? states_->bytes() : 0);
  }
  uint64_t weight_bytes_per_token() const override;
  void forward(const Batch& batch, MatrixView<float> logits) override;

 private:
  void load_rotary(TensorLoader& loader);
  void allocate_buffers();
  void allocate_gate_buffers();
  const PlacedWeight& output() const { return output_ ? *output_ : *embedding_; }

  ModelConfig config_;
  ModelOptions options_;
  Backend& backend_;
  std::unique_ptr<PlacedWeight> embedding_, output_;  // output_ is empty when the embedding serves as both
  std::unique_ptr<PlacedVector> output_norm_;
  std::vector<DecoderLayer> layers_;
  std::unique_ptr<KvStorage> kv_;
  std::unique_ptr<RecurrentStates> states_;  // only of models that have them
  uint64_t weight_bytes_ = 0;

  RotaryFrequencies rotary_;
  MatrixView<float> hidden_, normed_, q_, k_, v_, attended_, logit_rows_;
  MatrixView<float> wide_, gate_, beta_alpha_, beta_, alpha_;  // empty where no block needs them
};

}  // namespace halod

// The recurrent layer of Qwen3-Next and Qwen3.5: Yang et al. 2024, "Gated Delta Networks".
#pragma once

#include <memory>

#include "runtime/models/blocks.h"

namespace halod {

/// hidden += out(norm(delta rule over silu(conv(qkv x))) * silu(z x)), x = rms_norm(hidden).
class GatedDeltaNetBlock final : public Block {
 public:
  GatedDeltaNetBlock(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx);
  void forward(Step& step) const override;
  uint64_t weight_bytes_per_token() const override;

 private:
  const ModelConfig& config_;
  int64_t layer_idx_;
  std::unique_ptr<PlacedVector> norm_, conv_, dt_bias_, a_, head_norm_;
  std::unique_ptr<PlacedWeight> qkv_, gate_, out_;
  /// Both in one matrix, by key head, or one each.
  std::unique_ptr<PlacedWeight> beta_alpha_, beta_, alpha_;
};

}  // namespace halod

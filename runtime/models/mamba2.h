// The recurrent layer of Nemotron-H: Dao & Gu 2024, "Transformers are SSMs", as Hugging Face's Mamba-2 mixer.
#pragma once

#include <memory>

#include "runtime/models/blocks.h"

namespace halod {

/// Columns of what ssm_in gives: z, then x, B and C, which the convolution goes over, then dt.
int64_t mamba2_projection_size(const RecurrentConfig& recurrent);

/// hidden += out(norm((scan over silu(conv(x, B, C))) * silu(z))), all of them projections of
/// rms_norm(hidden).
class Mamba2Block final : public Block {
 public:
  Mamba2Block(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx);
  void forward(Step& step) const override;
  uint64_t weight_bytes_per_token() const override { return in_->bytes() + out_->bytes(); }

 private:
  const ModelConfig& config_;
  int64_t layer_idx_;
  std::unique_ptr<PlacedVector> norm_, conv_, conv_bias_, dt_bias_, a_, skip_, group_norm_;
  std::unique_ptr<PlacedWeight> in_, out_;
};

}  // namespace halod

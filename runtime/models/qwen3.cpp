// Qwen3, dense (Qwen3-0.6B … 32B): https://huggingface.co/docs/transformers/model_doc/qwen3
#include <memory>

#include "runtime/models/architectures.h"
#include "runtime/models/blocks.h"

namespace halod {
namespace {

class Qwen3Layer final : public DecoderLayer {
 public:
  Qwen3Layer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx)
      : attention_(loader, config, layer_idx), ffn_(loader, config, layer_idx) {}
  void forward(Step& step) const override {
    attention_.forward(step);
    ffn_.forward(step);
  }
  uint64_t weight_bytes_per_token() const override {
    return attention_.weight_bytes_per_token() + ffn_.weight_bytes_per_token();
  }

 private:
  AttentionBlock attention_;
  DenseFfnBlock ffn_;
};

}  // namespace

std::unique_ptr<DecoderLayer> make_qwen3_layer(TensorLoader& loader, const ModelConfig& config,
                                               int64_t layer_idx) {
  return std::make_unique<Qwen3Layer>(loader, config, layer_idx);
}

}  // namespace halod

// Qwen3 mixture of experts (Qwen3-30B-A3B, Qwen3-Coder-30B-A3B, Qwen3-235B-A22B):
// https://huggingface.co/docs/transformers/model_doc/qwen3_moe
#include <memory>

#include "runtime/models/architectures.h"
#include "runtime/models/blocks.h"

namespace halod {
namespace {

class Qwen3MoeLayer final : public DecoderLayer {
 public:
  Qwen3MoeLayer(TensorLoader& loader, const ModelConfig& config, int64_t layer_idx)
      : attention_(loader, config, layer_idx), moe_(loader, config, layer_idx) {}
  void forward(Step& step) const override {
    attention_.forward(step);
    moe_.forward(step);
  }
  uint64_t weight_bytes_per_token() const override {
    return attention_.weight_bytes_per_token() + moe_.weight_bytes_per_token();
  }

 private:
  AttentionBlock attention_;
  MoeBlock moe_;
};

}  // namespace

std::unique_ptr<DecoderLayer> make_qwen3moe_layer(TensorLoader& loader, const ModelConfig& config,
                                                  int64_t layer_idx) {
  return std::make_unique<Qwen3MoeLayer>(loader, config, layer_idx);
}

}  // namespace halod

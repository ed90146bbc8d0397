// Qwen3 and its mixtures of experts: https://huggingface.co/docs/transformers/model_doc/qwen3_moe
#include "runtime/weights/hf/families/families.h"
#include "runtime/weights/hf/families/rows.h"

namespace halod {
namespace {

using namespace hf_rows;

constexpr HfKey kQwen3Keys[] = {kHiddenSize, kLayers,
                                kContext,    kHeads,
                                kKvHeads,    {"head_dim", "attention.key_length", Kind::kInteger, "128"},
                                kMlpSize,    kEpsilon};
constexpr HfKey kQwen3MoeKeys[] = {kHiddenSize,
                                   kLayers,
                                   kContext,
                                   kHeads,
                                   kKvHeads,
                                   kHeadDim,
                                   kEpsilon,
                                   {"num_experts", "expert_count"},
                                   kExpertsPerToken,
                                   {"moe_intermediate_size", "expert_feed_forward_length"},
                                   {"norm_topk_prob", "expert_weights_norm", Kind::kBoolean, "false"}};

constexpr HfExpectation kQwen3Expectations[] = {
    kSilu, {"use_sliding_window", "false"}, {"attention_bias", "false"}};
constexpr HfExpectation kQwen3MoeExpectations[] = {kSilu,
                                                   {"use_sliding_window", "false"},
                                                   {"attention_bias", "false"},
                                                   {"decoder_sparse_step", "1"},
                                                   {"mlp_only_layers", "[]"}};

constexpr Modules kQwen3Modules[] = {kDecoder, kAttention, kHeadNorms, kMlp};
constexpr Modules kQwen3MoeModules[] = {kDecoder, kAttention, kHeadNorms, kExperts};

}  // namespace

constinit const HfFamily kQwen3Family = {"qwen3", "qwen3", kQwen3Keys, kQwen3Expectations, kQwen3Modules};
constinit const HfFamily kQwen3MoeFamily = {"qwen3_moe", "qwen3moe", kQwen3MoeKeys, kQwen3MoeExpectations,
                                            kQwen3MoeModules};

}  // namespace halod

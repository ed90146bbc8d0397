// Qwen3 and its mixtures of experts: https://huggingface.co/docs/transformers/model_doc/qwen3_moe
#include "runtime/weights/hf/families/families.h"
#include "runtime/weights/hf/families/rows.h"

namespace halod {
namespace {

using namespace hf_rows;

constexpr HfKey kKeys[] = {kHiddenSize, kLayers,  kContext,
                           kHeads,      kKvHeads, {"head_dim", "attention.key_length", Kind::kInteger, "128"},
                           kMlpSize,    kEpsilon};
constexpr HfKey kMoeKeys[] = {kHiddenSize,
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

constexpr HfExpectation kExpectations[] = {
    kSilu, {"use_sliding_window", "false"}, {"attention_bias", "false"}};
constexpr HfExpectation kMoeExpectations[] = {kSilu,
                                              {"use_sliding_window", "false"},
                                              {"attention_bias", "false"},
                                              {"decoder_sparse_step", "1"},
                                              {"mlp_only_layers", "[]"}};

constexpr Modules kModules[] = {kDecoder, kAttention, kHeadNorms, kMlp};
constexpr Modules kMoeModules[] = {kDecoder, kAttention, kHeadNorms, kExperts};

}  // namespace

constinit const HfFamily kQwen3Family = {"qwen3", "qwen3", kKeys, kExpectations, kModules};
constinit const HfFamily kQwen3MoeFamily = {"qwen3_moe", "qwen3moe", kMoeKeys, kMoeExpectations, kMoeModules};

}  // namespace halod

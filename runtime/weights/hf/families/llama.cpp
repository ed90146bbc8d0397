// Llama 2 and 3, TinyLlama, Mistral, Mixtral: https://huggingface.co/docs/transformers/model_doc/llama
#include "runtime/weights/hf/families/families.h"
#include "runtime/weights/hf/families/rows.h"

namespace halod {
namespace {

using namespace hf_rows;

constexpr HfKey kLlamaKeys[] = {kHiddenSize, kLayers,  kContext, kHeads,
                                kKvHeads,    kHeadDim, kMlpSize, kEpsilon};
constexpr HfKey kMixtralKeys[] = {kHiddenSize,
                                  kLayers,
                                  kContext,
                                  kHeads,
                                  kKvHeads,
                                  kHeadDim,
                                  kEpsilon,
                                  {"intermediate_size", "expert_feed_forward_length"},
                                  {"num_local_experts", "expert_count"},
                                  kExpertsPerToken};

constexpr HfExpectation kLlamaExpectations[] = {kSilu, {"attention_bias", "false"}, {"mlp_bias", "false"}};
// What is null is none.
constexpr HfExpectation kMistralExpectations[] = {kSilu, {"sliding_window", "null"}};

/// The converter to GGUF permutes what rotary embedding turns.
constexpr HfModule kPermutedAttention[] = {
    {.name = "self_attn.q_proj", .gguf = "attn_q", .form = HfForm::kNeighbourPairs},
    {.name = "self_attn.k_proj", .gguf = "attn_k", .form = HfForm::kNeighbourPairs},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
};

constexpr Modules kLlamaModules[] = {kDecoder, kPermutedAttention, kMlp};
constexpr Modules kMixtralModules[] = {kDecoder, kPermutedAttention, kSparseExperts};

}  // namespace

constinit const HfFamily kLlamaFamily = {"llama", "llama", kLlamaKeys, kLlamaExpectations, kLlamaModules};
constinit const HfFamily kMistralFamily = {"mistral", "llama", kLlamaKeys, kMistralExpectations,
                                           kLlamaModules};
constinit const HfFamily kMixtralFamily = {"mixtral", "llama", kMixtralKeys, kMistralExpectations,
                                           kMixtralModules};

}  // namespace halod

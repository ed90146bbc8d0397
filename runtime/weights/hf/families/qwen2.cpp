// Qwen2, Qwen2.5: https://huggingface.co/docs/transformers/model_doc/qwen2
#include "runtime/weights/hf/families/families.h"
#include "runtime/weights/hf/families/rows.h"

namespace halod {
namespace {

using namespace hf_rows;

constexpr HfKey kQwen2Keys[] = {kHiddenSize, kLayers,  kContext, kHeads,
                                kKvHeads,    kHeadDim, kMlpSize, kEpsilon};
constexpr HfExpectation kQwen2Expectations[] = {kSilu, {"use_sliding_window", "false"}};
constexpr HfModule kBiasedAttention[] = {
    {"self_attn.q_proj", "attn_q", true},
    {"self_attn.k_proj", "attn_k", true},
    {"self_attn.v_proj", "attn_v", true},
    {"self_attn.o_proj", "attn_output"},
};
constexpr Modules kQwen2Modules[] = {kDecoder, kBiasedAttention, kMlp};

}  // namespace

constinit const HfFamily kQwen2Family = {"qwen2", "qwen2", kQwen2Keys, kQwen2Expectations, kQwen2Modules};

}  // namespace halod

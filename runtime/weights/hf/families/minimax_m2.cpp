// MiniMax-M2 and M2.1: https://huggingface.co/docs/transformers/model_doc/minimax_m2
#include <fmt/format.h>

#include <boost/json.hpp>

#include "runtime/weights/hf/families/families.h"
#include "runtime/weights/hf/families/rows.h"

namespace halod {
namespace {

using namespace hf_rows;

constexpr HfKey kMiniMaxKeys[] = {kHiddenSize,
                                  kLayers,
                                  kContext,
                                  kHeads,
                                  kKvHeads,
                                  {"head_dim", "attention.key_length", Kind::kInteger, "128"},
                                  kEpsilon,
                                  {"intermediate_size", "expert_feed_forward_length"},
                                  {"num_local_experts", "expert_count"},
                                  kExpertsPerToken};
constexpr HfExpectation kMiniMaxExpectations[] = {kSilu,
                                                  {"scoring_func", "\"sigmoid\""},
                                                  {"use_routing_bias", "true"},
                                                  {"use_qk_norm", "true"},
                                                  {"qk_norm_type", "\"per_layer\""},
                                                  {"shared_intermediate_size", "0"}};
constexpr HfModule kRouterBias[] = {
    {.name = "block_sparse_moe.e_score_correction_bias", .gguf = "exp_probs_b.bias", .is_parameter = true},
};
constexpr Modules kMiniMaxModules[] = {kDecoder, kAttention, kHeadNorms, kSparseExperts, kRouterBias};

/// Layers of the models before it had linear attention, which is 0.
void translate_minimax(const JsonObject& config, const HfInsert& insert) {
  const auto types = config.array("attn_type_list");
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] != 1)
      config.fail_unsupported("attn_type_list", fmt::format("has {} for layer {}; only 1 is supported",
                                                            boost::json::serialize(types[i]), i));
  }
  constexpr int64_t kSigmoid = 2;  // GGUF's number
  insert("expert_gating_func", kSigmoid, "scoring_func");
}

}  // namespace

constinit const HfFamily kMiniMaxM2Family = {.model_type = "minimax_m2",
                                             .architecture = "minimax-m2",
                                             .keys = kMiniMaxKeys,
                                             .expectations = kMiniMaxExpectations,
                                             .modules = kMiniMaxModules,
                                             .rope_theta = 5'000'000,
                                             .partial_rotary_factor = 1,
                                             .translate = translate_minimax};

}  // namespace halod

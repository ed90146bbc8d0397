#include "runtime/models/model_features.h"

#include <fmt/format.h>

namespace halod {

std::vector<ModelFeature> model_features(const ModelConfig& config) {
  std::vector<ModelFeature> features;
  const auto add_if = [&](bool is_needed, ModelFeature feature) {
    if (is_needed) features.push_back(feature);
  };
  add_if(config.rope.pairing == RopePairing::kNeighbours, ModelFeature::kNeighbourRope);
  add_if(config.has_attention_bias, ModelFeature::kBias);
  add_if(config.sliding_period > 0, ModelFeature::kSlidingWindow);
  add_if(config.has_attention_sinks, ModelFeature::kAttentionSinks);
  add_if(config.router_gating != RouterGating::kSoftmax || config.expert_weights_scale != 1,
         ModelFeature::kRouterGating);
  add_if(config.router_gating == RouterGating::kSigmoid, ModelFeature::kSelectionBias);
  add_if(config.has_expert_bias, ModelFeature::kExpertBias);
  add_if(config.expert_activation == ExpertActivation::kClampedSwiglu, ModelFeature::kExpertActivation);
  add_if(!has_gate(config.expert_activation), ModelFeature::kUngatedFfn);
  add_if(config.rope.n_dims != config.head_dim, ModelFeature::kPartialRope);
  add_if(config.has_gated_attention, ModelFeature::kGatedAttention);
  add_if(config.shared_expert_intermediate_size > 0, ModelFeature::kSharedExpert);
  add_if(config.has_fused_experts, ModelFeature::kFusedExperts);
  add_if(config.expert_latent_size > 0, ModelFeature::kLatentExperts);
  add_if(config.n_layers_with(Mixer::kGatedDeltaNet) > 0, ModelFeature::kRecurrentState);
  add_if(config.n_layers_with(Mixer::kMamba2) > 0, ModelFeature::kMamba2);
  add_if(config.has_column_orders, ModelFeature::kColumnOrder);
  return features;
}

Result<> check_features(const ModelConfig& config, const Backend& backend) {
  for (const ModelFeature feature : model_features(config)) {
    if (backend.supports(feature)) continue;
    return Error{ErrorCode::kUnsupported,
                 fmt::format("backend {} does not do {}, which this model ({}) needs; backend 'cpu' does",
                             backend.name(), to_string(feature), config.architecture),
                 "backend"};
  }
  return {};
}

}  // namespace halod

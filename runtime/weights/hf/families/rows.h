// Rows that several families share. "model." is what stands outside of the layers.
#pragma once

#include "runtime/weights/hf/hf_families.h"

namespace halod::hf_rows {

using Kind = HfKey::Kind;
using Modules = std::span<const HfModule>;

// -- config.json

inline constexpr HfKey kHiddenSize = {"hidden_size", "embedding_length"};
inline constexpr HfKey kLayers = {"num_hidden_layers", "block_count"};
inline constexpr HfKey kContext = {"max_position_embeddings", "context_length"};
inline constexpr HfKey kHeads = {"num_attention_heads", "attention.head_count"};
inline constexpr HfKey kKvHeads = {"num_key_value_heads", "attention.head_count_kv"};
/// Heads are hidden_size / num_attention_heads wide unless config.json says otherwise.
inline constexpr HfKey kHeadDim = {"head_dim", "attention.key_length"};
inline constexpr HfKey kMlpSize = {"intermediate_size", "feed_forward_length"};
inline constexpr HfKey kEpsilon = {"rms_norm_eps", "attention.layer_norm_rms_epsilon", Kind::kReal};
inline constexpr HfKey kExpertsPerToken = {"num_experts_per_tok", "expert_used_count"};

inline constexpr HfExpectation kSilu = {"hidden_act", "\"silu\""};

// -- modules

inline constexpr HfModule kDecoder[] = {
    {"model.embed_tokens", "token_embd"},
    {"model.norm", "output_norm"},
    {"lm_head", "output"},
    {"input_layernorm", "attn_norm"},
    {"post_attention_layernorm", "ffn_norm"},
};
inline constexpr HfModule kAttention[] = {
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
};
inline constexpr HfModule kHeadNorms[] = {
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
};
inline constexpr HfModule kMlp[] = {
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
};
inline constexpr HfModule kExperts[] = {
    {"mlp.gate", "ffn_gate_inp"},
    {"mlp.experts.*.gate_proj", "ffn_gate_exps"},
    {"mlp.experts.*.up_proj", "ffn_up_exps"},
    {"mlp.experts.*.down_proj", "ffn_down_exps"},
};
/// Mixtral's names.
inline constexpr HfModule kSparseExperts[] = {
    {"block_sparse_moe.gate", "ffn_gate_inp"},
    {"block_sparse_moe.experts.*.w1", "ffn_gate_exps"},
    {"block_sparse_moe.experts.*.w3", "ffn_up_exps"},
    {"block_sparse_moe.experts.*.w2", "ffn_down_exps"},
};

}  // namespace halod::hf_rows

// What the files of each family hold: their metadata and tensors as converters write them, their numbers as
// small as the operations allow, chosen so that no two extents that a mistake could exchange are the same.
#include <array>
#include <string>
#include <vector>

#include "tests/support/random_model.h"

namespace halod::test {
namespace {

std::string prefix(int64_t layer) { return "blk." + std::to_string(layer) + "."; }

/// What every family has. Widths are multiples of 32.
struct Shape {
  int64_t n_layers, hidden, n_heads, n_kv_heads, head_dim;
  double epsilon = 1e-6;
};

void add_frame(RandomModel& model, const Shape& shape) {
  constexpr int64_t kVocabSize = 256;
  model.set("block_count", shape.n_layers);
  model.set("context_length", int64_t{512});
  model.set("embedding_length", shape.hidden);
  model.set("attention.head_count", shape.n_heads);
  model.set("attention.key_length", shape.head_dim);
  model.set("attention.value_length", shape.head_dim);
  model.set("attention.layer_norm_rms_epsilon", shape.epsilon);
  model.values("token_embd.weight", {kVocabSize, shape.hidden}, 0, 1);
  model.matrix("output.weight", {kVocabSize, shape.hidden}, 2.5);
  model.values("output_norm.weight", {shape.hidden}, 1, 0.15);
}

void add_norm(RandomModel& model, const std::string& name, int64_t n, double mean = 1) {
  model.values(name, {n}, mean, 0.15);
}

/// `queries`: rows of attn_q for each head's one.
void add_attention(RandomModel& model, const std::string& p, const Shape& shape, int64_t queries = 1) {
  const int64_t q_size = shape.n_heads * shape.head_dim, kv_size = shape.n_kv_heads * shape.head_dim;
  model.matrix(p + "attn_q.weight", {queries * q_size, shape.hidden}, 1.3);
  model.matrix(p + "attn_k.weight", {kv_size, shape.hidden}, 1.3);
  model.matrix(p + "attn_v.weight", {kv_size, shape.hidden});
  model.matrix(p + "attn_output.weight", {shape.hidden, q_size}, 1.5);
}

struct Experts {
  int64_t n, n_per_token, width, shared_width = 0;
};

void set_experts(RandomModel& model, const Experts& experts) {
  model.set("expert_count", experts.n);
  model.set("expert_used_count", experts.n_per_token);
  model.set("expert_feed_forward_length", experts.width);
}

/// `hidden`: of what the experts read and write. The router is the caller's.
void add_experts(RandomModel& model, const std::string& p, const Experts& experts, int64_t hidden) {
  model.matrix(p + "ffn_gate_exps.weight", {experts.n, experts.width, hidden}, 1.4);
  model.matrix(p + "ffn_up_exps.weight", {experts.n, experts.width, hidden}, 1.4);
  model.matrix(p + "ffn_down_exps.weight", {experts.n, hidden, experts.width}, 1.5);
}

void add_dense(RandomModel& model, const std::string& p, const std::string& kind, int64_t hidden,
               int64_t width) {
  model.matrix(p + "ffn_gate" + kind + ".weight", {width, hidden}, 1.4);
  model.matrix(p + "ffn_up" + kind + ".weight", {width, hidden}, 1.4);
  model.matrix(p + "ffn_down" + kind + ".weight", {hidden, width}, 1.5);
}

/// Qwen3.5 mixture of experts: three gated delta nets and an attention.
void fill_qwen35moe(RandomModel& model) {
  const Shape shape{.n_layers = 4, .hidden = 64, .n_heads = 4, .n_kv_heads = 2, .head_dim = 256};
  const Experts experts{.n = 8, .n_per_token = 3, .width = 32, .shared_width = 96};
  constexpr int64_t kKeyHeads = 2, kValueHeads = 6, kHeadDim = 64, kTaps = 4,
                    kValueSize = kValueHeads * kHeadDim, kChannels = 2 * kKeyHeads * kHeadDim + kValueSize;
  add_frame(model, shape);
  model.set("attention.head_count_kv", shape.n_kv_heads);
  model.set("rope.freq_base", 1e7);
  model.set("rope.dimension_count", int64_t{16});
  model.set_by_layer("rope.dimension_sections", {3, 3, 2, 0});
  set_experts(model, experts);
  model.set("expert_shared_feed_forward_length", experts.shared_width);
  model.set("full_attention_interval", int64_t{4});
  model.set("ssm.conv_kernel", kTaps);
  model.set("ssm.state_size", kHeadDim);
  model.set("ssm.group_count", kKeyHeads);
  model.set("ssm.time_step_rank", kValueHeads);
  model.set("ssm.inner_size", kValueSize);
  for (int64_t layer = 0; layer < shape.n_layers; ++layer) {
    const std::string p = prefix(layer);
    add_norm(model, p + "attn_norm.weight", shape.hidden);
    add_norm(model, p + "post_attention_norm.weight", shape.hidden);
    if (layer == 3) {
      add_attention(model, p, shape, 2);
      add_norm(model, p + "attn_q_norm.weight", shape.head_dim, 1.4);
      add_norm(model, p + "attn_k_norm.weight", shape.head_dim, 1.4);
    } else {
      model.matrix(p + "attn_qkv.weight", {kChannels, shape.hidden}, 1.5);
      model.matrix(p + "attn_gate.weight", {kValueSize, shape.hidden}, 1.2);
      model.matrix(p + "ssm_beta.weight", {kValueHeads, shape.hidden}, 1.2);
      model.matrix(p + "ssm_alpha.weight", {kValueHeads, shape.hidden}, 1.2);
      model.values(p + "ssm_conv1d.weight", {kChannels, kTaps}, 0, 0.5);
      model.values(p + "ssm_dt.bias", {kValueHeads}, -0.5, 0.7);
      model.decay_rates(p + "ssm_a", {kValueHeads}, -1.5, 1.2);
      add_norm(model, p + "ssm_norm.weight", kHeadDim);
      model.matrix(p + "ssm_out.weight", {shape.hidden, kValueSize}, 1.2);
    }
    model.matrix(p + "ffn_gate_inp.weight", {experts.n, shape.hidden}, 1.5);
    add_experts(model, p, experts, shape.hidden);
    model.matrix(p + "ffn_gate_inp_shexp.weight", {shape.hidden});
    add_dense(model, p, "_shexp", shape.hidden, experts.shared_width);
  }
}

/// MiniMax-M2: norms over whole projections, sigmoid router with a large bias of the choice.
void fill_minimax_m2(RandomModel& model) {
  const Shape shape{.n_layers = 2, .hidden = 96, .n_heads = 6, .n_kv_heads = 2, .head_dim = 64};
  const Experts experts{.n = 8, .n_per_token = 3, .width = 32};
  add_frame(model, shape);
  model.set("attention.head_count_kv", shape.n_kv_heads);
  model.set("feed_forward_length", experts.width);
  model.set("rope.freq_base", 5e6);
  model.set("rope.dimension_count", int64_t{32});
  model.set("expert_gating_func", int64_t{2});
  set_experts(model, experts);
  for (int64_t layer = 0; layer < shape.n_layers; ++layer) {
    const std::string p = prefix(layer);
    add_norm(model, p + "attn_norm.weight", shape.hidden);
    add_norm(model, p + "ffn_norm.weight", shape.hidden);
    add_attention(model, p, shape);
    add_norm(model, p + "attn_q_norm.weight", shape.n_heads * shape.head_dim, 1.4);
    add_norm(model, p + "attn_k_norm.weight", shape.n_kv_heads * shape.head_dim, 1.4);
    model.matrix(p + "ffn_gate_inp.weight", {experts.n, shape.hidden}, 1.5);
    // Published biases are around 8: only their differences choose.
    model.values(p + "exp_probs_b.bias", {experts.n}, layer == 0 ? 0 : 8, 0.25);
    add_experts(model, p, experts, shape.hidden);
  }
}

/// Nemotron-H: one block per layer, by the letters of Hugging Face's pattern: M, * and, with experts E, else
/// -.
struct NemotronH {
  std::string pattern;
  Shape shape;
  int64_t dense_width = 0;
  Experts experts = {};
  int64_t latent = 0;  ///< 0: the experts work on the layer's own width
  int64_t n_heads, head_dim, n_groups, state_size;
};

void add_mamba2(RandomModel& model, const std::string& p, const NemotronH& family) {
  constexpr int64_t kTaps = 4;
  const int64_t hidden = family.shape.hidden, inner = family.n_heads * family.head_dim,
                n_channels = inner + 2 * family.n_groups * family.state_size;
  model.matrix(p + "ssm_in.weight", {inner + n_channels + family.n_heads, hidden}, 1.3);
  model.values(p + "ssm_conv1d.weight", {n_channels, kTaps}, 0, 0.5);
  model.values(p + "ssm_conv1d.bias", {n_channels}, 0, 0.2);
  model.values(p + "ssm_dt.bias", {family.n_heads}, -1, 0.7);
  model.decay_rates(p + "ssm_a", {family.n_heads, 1}, -0.6, 1);
  model.values(p + "ssm_d", {family.n_heads, 1}, 1, 0.3);
  model.values(p + "ssm_norm.weight", {family.n_groups, inner / family.n_groups}, 1, 0.15);
  model.matrix(p + "ssm_out.weight", {hidden, inner}, 1.2);
}

void add_nemotron_experts(RandomModel& model, const std::string& p, const NemotronH& family) {
  const Experts& experts = family.experts;
  const int64_t hidden = family.shape.hidden, width = family.latent > 0 ? family.latent : hidden;
  model.matrix(p + "ffn_gate_inp.weight", {experts.n, hidden}, 1.5);
  model.values(p + "exp_probs_b.bias", {experts.n}, 0, 0.15);
  if (family.latent > 0) {
    model.matrix(p + "ffn_latent_down.weight", {family.latent, hidden});
    model.matrix(p + "ffn_latent_up.weight", {hidden, family.latent});
  }
  model.matrix(p + "ffn_up_exps.weight", {experts.n, experts.width, width}, 1.2);
  model.matrix(p + "ffn_down_exps.weight", {experts.n, width, experts.width});
  model.matrix(p + "ffn_up_shexp.weight", {experts.shared_width, hidden});
  model.matrix(p + "ffn_down_shexp.weight", {hidden, experts.shared_width});
}

void fill_nemotron_h(RandomModel& model, const NemotronH& family) {
  const Shape& shape = family.shape;
  add_frame(model, shape);
  model.set("rope.dimension_count", shape.head_dim);  // though nothing is rotated
  model.set("ssm.conv_kernel", int64_t{4});
  model.set("ssm.inner_size", family.n_heads * family.head_dim);
  model.set("ssm.state_size", family.state_size);
  model.set("ssm.time_step_rank", family.n_heads);
  model.set("ssm.group_count", family.n_groups);
  std::vector<int64_t> n_kv_heads, widths;
  for (const char letter : family.pattern) {
    n_kv_heads.push_back(letter == '*' ? shape.n_kv_heads : 0);
    widths.push_back(letter == 'E' ? family.experts.width : letter == '-' ? family.dense_width : 0);
  }
  model.set_by_layer("attention.head_count_kv", n_kv_heads);
  model.set_by_layer("feed_forward_length", widths);
  if (family.experts.n > 0) {
    set_experts(model, family.experts);
    model.set("expert_shared_feed_forward_length", family.experts.shared_width);
    model.set("expert_shared_count", int64_t{1});
    model.set("expert_weights_norm", true);
    model.set("expert_weights_scale", 2.5);
    model.set("expert_group_count", int64_t{1});
    model.set("expert_group_used_count", int64_t{1});
  }
  if (family.latent > 0) model.set("moe_latent_size", family.latent);
  for (size_t layer = 0; layer < family.pattern.size(); ++layer) {
    const std::string p = prefix(static_cast<int64_t>(layer));
    add_norm(model, p + "attn_norm.weight", shape.hidden);
    switch (family.pattern[layer]) {
      case 'M':
        add_mamba2(model, p, family);
        break;
      case '*':
        add_attention(model, p, shape);
        break;
      case '-':
        model.matrix(p + "ffn_up.weight", {family.dense_width, shape.hidden}, 1.2);
        model.matrix(p + "ffn_down.weight", {shape.hidden, family.dense_width});
        break;
      default:
        add_nemotron_experts(model, p, family);
    }
  }
}

void fill_nemotron_h_moe(RandomModel& model) {
  fill_nemotron_h(
      model,
      {.pattern = "MEM*EM",
       .shape = {.n_layers = 6, .hidden = 96, .n_heads = 4, .n_kv_heads = 2, .head_dim = 32, .epsilon = 1e-5},
       .experts = {.n = 6, .n_per_token = 2, .width = 64, .shared_width = 128},
       .n_heads = 6,
       .head_dim = 32,
       .n_groups = 2,
       .state_size = 16});
}

void fill_nemotron_h_latent(RandomModel& model) {
  fill_nemotron_h(
      model,
      {.pattern = "ME*E",
       .shape = {.n_layers = 4, .hidden = 96, .n_heads = 3, .n_kv_heads = 1, .head_dim = 64, .epsilon = 1e-5},
       .experts = {.n = 5, .n_per_token = 2, .width = 64, .shared_width = 32},
       .latent = 32,
       .n_heads = 4,
       .head_dim = 64,
       .n_groups = 1,
       .state_size = 64});
}

void fill_nemotron_h_dense(RandomModel& model) {
  fill_nemotron_h(
      model,
      {.pattern = "M-M*-",
       .shape = {.n_layers = 5, .hidden = 64, .n_heads = 4, .n_kv_heads = 2, .head_dim = 32, .epsilon = 1e-5},
       .dense_width = 160,
       .n_heads = 8,
       .head_dim = 16,
       .n_groups = 4,
       .state_size = 32});
}

/// GLM-4.5: a dense layer, then experts; at the end a layer that guesses the token after next.
void fill_glm4_moe(RandomModel& model, bool has_head_norms, double weights_scale) {
  const Shape shape{
      .n_layers = 4, .hidden = 96, .n_heads = 6, .n_kv_heads = 2, .head_dim = 32, .epsilon = 1e-5};
  const Experts experts{.n = 8, .n_per_token = 3, .width = 32, .shared_width = 64};
  constexpr int64_t kDenseWidth = 160, kSharedExperts = 2;
  add_frame(model, shape);
  model.set("attention.head_count_kv", shape.n_kv_heads);
  model.set("feed_forward_length", kDenseWidth);
  model.set("rope.freq_base", 1e6);
  model.set("rope.dimension_count", int64_t{16});
  model.set("leading_dense_block_count", int64_t{1});
  model.set("nextn_predict_layers", int64_t{1});
  set_experts(model, experts);
  model.set("expert_shared_count", kSharedExperts);
  model.set("expert_gating_func", int64_t{2});
  model.set("expert_weights_norm", true);
  model.set("expert_weights_scale", weights_scale);
  const int64_t q_size = shape.n_heads * shape.head_dim, kv_size = shape.n_kv_heads * shape.head_dim;
  for (int64_t layer = 0; layer < shape.n_layers; ++layer) {
    const std::string p = prefix(layer);
    add_norm(model, p + "attn_norm.weight", shape.hidden);
    add_norm(model, p + "post_attention_norm.weight", shape.hidden);
    add_attention(model, p, shape);
    model.values(p + "attn_q.bias", {q_size}, 0, 0.3);
    model.values(p + "attn_k.bias", {kv_size}, 0, 0.3);
    model.values(p + "attn_v.bias", {kv_size}, 0, 0.3);
    if (has_head_norms) {
      add_norm(model, p + "attn_q_norm.weight", shape.head_dim, 1.4);
      add_norm(model, p + "attn_k_norm.weight", shape.head_dim, 1.4);
    }
    if (layer == 0) {
      add_dense(model, p, "", shape.hidden, kDenseWidth);
      continue;
    }
    model.matrix(p + "ffn_gate_inp.weight", {experts.n, shape.hidden}, 1.5);
    model.values(p + "exp_probs_b.bias", {experts.n}, 4, 0.2);
    add_experts(model, p, experts, shape.hidden);
    add_dense(model, p, "_shexp", shape.hidden, experts.shared_width);
  }
  const std::string p = prefix(shape.n_layers - 1) + "nextn.";
  model.matrix(p + "eh_proj.weight", {shape.hidden, 2 * shape.hidden});
  for (const char* norm : {"enorm", "hnorm", "shared_head_norm"})
    add_norm(model, p + norm + ".weight", shape.hidden);
}

void fill_glm45(RandomModel& model) { fill_glm4_moe(model, true, 2.5); }
void fill_glm45_air(RandomModel& model) { fill_glm4_moe(model, false, 1.0); }

constexpr std::array kFamilies = {
    RandomFamily{"glm4moe", fill_glm45, "glm4moe"},
    RandomFamily{"glm4moe-air", fill_glm45_air, "glm4moe"},
    RandomFamily{"minimax-m2", fill_minimax_m2, "minimax-m2"},
    RandomFamily{"nemotron_h", fill_nemotron_h_dense, "nemotron_h"},
    RandomFamily{"nemotron_h_moe", fill_nemotron_h_moe, "nemotron_h_moe"},
    RandomFamily{"nemotron_h_moe-latent", fill_nemotron_h_latent, "nemotron_h_moe"},
    RandomFamily{"qwen35moe", fill_qwen35moe, "qwen35moe"},
};

}  // namespace

std::span<const RandomFamily> random_families() { return kFamilies; }

}  // namespace halod::test

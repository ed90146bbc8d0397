// GLM-4.5 in double precision, from Hugging Face's modeling_glm4_moe.py.
#include "tests/runtime/models/float64_blocks.h"

namespace halod::test {
namespace {

Vector routed_and_shared(const Float64File& file, const std::string& p, const Vector& x) {
  Vector scores = file.times(p + "ffn_gate_inp.weight", x);
  for (double& score : scores) score = sigmoid(score);
  Vector sum = swiglu(file, p, "_shexp", x);
  for (const Share& share :
       best_shares(scores, file.values(p + "exp_probs_b.bias"), file.count("expert_used_count"))) {
    add(sum, swiglu(file, p, "_exps", x, share.expert), share.weight * file.number("expert_weights_scale"));
  }
  return sum;
}

}  // namespace

Rows glm4_moe_logits(const Float64File& file, std::span<const TokenId> tokens) {
  const int64_t head_dim = file.count("attention.key_length"), n_rotated = file.count("rope.dimension_count"),
                n_layers = file.count("block_count") - file.count("nextn_predict_layers");
  const double epsilon = file.epsilon(), base = file.number("rope.freq_base");
  Rows hidden = file.embedded(tokens);
  for (int64_t layer = 0; layer < n_layers; ++layer) {
    const std::string p = "blk." + std::to_string(layer) + ".";
    const Rows x = rms_norm(hidden, file.values(p + "attn_norm.weight"), epsilon);
    Rows q = file.times(p + "attn_q.weight", x), k = file.times(p + "attn_k.weight", x),
         v = file.times(p + "attn_v.weight", x);
    for (size_t t = 0; t < tokens.size(); ++t) {
      add(q[t], file.values(p + "attn_q.bias"));
      add(k[t], file.values(p + "attn_k.bias"));
      add(v[t], file.values(p + "attn_v.bias"));
      if (file.has(p + "attn_q_norm.weight")) {
        q[t] = rms_norm(q[t], file.values(p + "attn_q_norm.weight"), epsilon);
        k[t] = rms_norm(k[t], file.values(p + "attn_k_norm.weight"), epsilon);
      }
      q[t] = rotate_halves(q[t], head_dim, n_rotated, base, static_cast<int64_t>(t));
      k[t] = rotate_halves(k[t], head_dim, n_rotated, base, static_cast<int64_t>(t));
    }
    const Rows attended = attend(q, k, v, head_dim);
    for (size_t t = 0; t < tokens.size(); ++t)
      add(hidden[t], file.times(p + "attn_output.weight", attended[t]));
    for (Vector& residual : hidden) {
      const Vector y = rms_norm(residual, file.values(p + "post_attention_norm.weight"), epsilon);
      add(residual, layer < file.count("leading_dense_block_count") ? swiglu(file, p, "", y)
                                                                    : routed_and_shared(file, p, y));
    }
  }
  return file.logits(hidden);
}

}  // namespace halod::test

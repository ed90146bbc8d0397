// MiniMax-M2 in double precision, from Hugging Face's modeling_minimax_m2.py.
#include "tests/runtime/models/float64_blocks.h"

namespace halod::test {

Rows minimax_m2_logits(const Float64File& file, std::span<const TokenId> tokens) {
  const int64_t head_dim = file.count("attention.key_length"), n_rotated = file.count("rope.dimension_count");
  const double epsilon = file.epsilon(), base = file.number("rope.freq_base");
  Rows hidden = file.embedded(tokens);
  for (int64_t layer = 0; layer < file.count("block_count"); ++layer) {
    const std::string p = "blk." + std::to_string(layer) + ".";
    const auto norm = [&](const Rows& x, const char* name) {
      return rms_norm(x, file.values(p + name), epsilon);
    };
    // Attention; queries and keys are normed over all heads together.
    const Rows x = norm(hidden, "attn_norm.weight");
    Rows q = norm(file.times(p + "attn_q.weight", x), "attn_q_norm.weight"),
         k = norm(file.times(p + "attn_k.weight", x), "attn_k_norm.weight");
    for (size_t t = 0; t < tokens.size(); ++t) {
      const auto position = static_cast<int64_t>(t);
      q[t] = rotate_halves(q[t], head_dim, n_rotated, base, position);
      k[t] = rotate_halves(k[t], head_dim, n_rotated, base, position);
    }
    const Rows attended = attend(q, k, file.times(p + "attn_v.weight", x), head_dim);
    for (size_t t = 0; t < tokens.size(); ++t)
      add(hidden[t], file.times(p + "attn_output.weight", attended[t]));
    // Experts, chosen by sigmoid + bias, weighed by the sigmoids alone.
    const Rows y = norm(hidden, "ffn_norm.weight");
    for (size_t t = 0; t < tokens.size(); ++t) {
      Vector scores = file.times(p + "ffn_gate_inp.weight", y[t]);
      for (double& score : scores) score = sigmoid(score);
      for (const Share& share :
           best_shares(scores, file.values(p + "exp_probs_b.bias"), file.count("expert_used_count")))
        add(hidden[t], swiglu(file, p, "_exps", y[t], share.expert), share.weight);
    }
  }
  return file.logits(hidden);
}

}  // namespace halod::test

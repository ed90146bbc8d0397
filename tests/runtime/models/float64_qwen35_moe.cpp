// Qwen3.5 mixture of experts in double precision, from Hugging Face's modeling_qwen3_5_moe.py. Its delta rule
// is unrolled (Yang et al. 2024, "Parallelizing Linear Transformers with the Delta Rule", section 3.1): what
// each token writes is found from what the earlier ones wrote, and there is no state.
#include <algorithm>
#include <cmath>

#include "tests/runtime/models/float64_blocks.h"

namespace halod::test {
namespace {

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b.at(i);
  return sum;
}

Vector l2_normed(Vector x, double scale) {
  const double root = std::sqrt(dot(x, x) + 1e-6);
  for (double& value : x) value *= scale / root;
  return x;
}

/// What one head reads: q, k and v of every token, how much of the past each token leaves, how much it
/// writes.
Rows delta_rule(const Rows& q, const Rows& k, const Rows& v, const Vector& decay, const Vector& beta) {
  Rows writes, out;
  for (size_t t = 0; t < q.size(); ++t) {
    Vector write = v[t], read(v[t].size());
    double left = decay[t];
    for (size_t s = t; s-- > 0;) {
      add(write, writes[s], -left * dot(k[s], k[t]));
      add(read, writes[s], left * dot(k[s], q[t]));
      left *= decay[s];
    }
    for (double& value : write) value *= beta[t];
    add(read, write, dot(k[t], q[t]));
    writes.push_back(write);
    out.push_back(read);
  }
  return out;
}

Rows gated_delta_net(const Float64File& file, const std::string& p, const Rows& x) {
  const int64_t head_dim = file.count("ssm.state_size"), n_key_heads = file.count("ssm.group_count"),
                n_value_heads = file.count("ssm.time_step_rank");
  const Rows qkv = causal_convolution(file.times(p + "attn_qkv.weight", x),
                                      file.values(p + "ssm_conv1d.weight"), {}),
             z = file.times(p + "attn_gate.weight", x), b = file.times(p + "ssm_beta.weight", x),
             a = file.times(p + "ssm_alpha.weight", x);
  Rows joined(x.size());
  for (int64_t head = 0; head < n_value_heads; ++head) {
    const auto h = static_cast<size_t>(head);
    const int64_t key_head = head % n_key_heads;  // as files order the value heads of this family
    Rows q, k, v;
    Vector decay, beta;
    for (size_t t = 0; t < x.size(); ++t) {
      q.push_back(l2_normed(part(qkv[t], key_head * head_dim, head_dim),
                            1 / std::sqrt(static_cast<double>(head_dim))));
      k.push_back(l2_normed(part(qkv[t], (n_key_heads + key_head) * head_dim, head_dim), 1));
      v.push_back(part(qkv[t], (2 * n_key_heads + head) * head_dim, head_dim));
      beta.push_back(sigmoid(b[t][h]));
      decay.push_back(
          std::exp(file.values(p + "ssm_a")[h] * softplus(a[t][h] + file.values(p + "ssm_dt.bias")[h])));
    }
    const Rows out =
        rms_norm(delta_rule(q, k, v, decay, beta), file.values(p + "ssm_norm.weight"), file.epsilon());
    for (size_t t = 0; t < x.size(); ++t) {
      for (int64_t i = 0; i < head_dim; ++i) {
        joined[t].push_back(out[t][static_cast<size_t>(i)] *
                            silu(z[t][static_cast<size_t>(head * head_dim + i)]));
      }
    }
  }
  return file.times(p + "ssm_out.weight", joined);
}

/// attn_q gives each head's query, then its gate.
Rows gated_attention(const Float64File& file, const std::string& p, const Rows& x) {
  const int64_t head_dim = file.count("attention.key_length"), n_rotated = file.count("rope.dimension_count"),
                n_heads = file.count("attention.head_count");
  Rows q(x.size()), gate(x.size()), k = file.times(p + "attn_k.weight", x);
  const Rows wide = file.times(p + "attn_q.weight", x);
  for (size_t t = 0; t < x.size(); ++t) {
    for (int64_t head = 0; head < n_heads; ++head) {
      for (int64_t i = 0; i < head_dim; ++i) {
        q[t].push_back(wide[t][static_cast<size_t>(2 * head * head_dim + i)]);
        gate[t].push_back(wide[t][static_cast<size_t>((2 * head + 1) * head_dim + i)]);
      }
    }
    const auto position = static_cast<int64_t>(t);
    const auto place = [&](Vector& heads, const char* norm) {
      heads = rotate_halves(rms_norm(heads, file.values(p + norm), file.epsilon()), head_dim, n_rotated,
                            file.number("rope.freq_base"), position);
    };
    place(q[t], "attn_q_norm.weight");
    place(k[t], "attn_k_norm.weight");
  }
  Rows out = attend(q, k, file.times(p + "attn_v.weight", x), head_dim);
  for (size_t t = 0; t < x.size(); ++t) {
    for (size_t i = 0; i < out[t].size(); ++i) out[t][i] *= sigmoid(gate[t][i]);
  }
  return file.times(p + "attn_output.weight", out);
}

Vector routed_and_gated(const Float64File& file, const std::string& p, const Vector& x) {
  Vector scores = file.times(p + "ffn_gate_inp.weight", x), sum(x.size());
  const double largest = *std::ranges::max_element(scores);
  for (double& score : scores) score = std::exp(score - largest);
  for (const Share& share : best_shares(scores, {}, file.count("expert_used_count")))
    add(sum, swiglu(file, p, "_exps", x, share.expert), share.weight);
  add(sum, swiglu(file, p, "_shexp", x), sigmoid(dot(file.values(p + "ffn_gate_inp_shexp.weight"), x)));
  return sum;
}

}  // namespace

Rows qwen35_moe_logits(const Float64File& file, std::span<const TokenId> tokens) {
  Rows hidden = file.embedded(tokens);
  for (int64_t layer = 0; layer < file.count("block_count"); ++layer) {
    const std::string p = "blk." + std::to_string(layer) + ".";
    const Rows x = rms_norm(hidden, file.values(p + "attn_norm.weight"), file.epsilon());
    const Rows mixed = (layer + 1) % file.count("full_attention_interval") == 0 ? gated_attention(file, p, x)
                                                                                : gated_delta_net(file, p, x);
    for (size_t t = 0; t < tokens.size(); ++t) add(hidden[t], mixed[t]);
    for (Vector& residual : hidden) {
      add(residual,
          routed_and_gated(
              file, p, rms_norm(residual, file.values(p + "post_attention_norm.weight"), file.epsilon())));
    }
  }
  return file.logits(hidden);
}

}  // namespace halod::test

// Nemotron-H in double precision, dense and with experts: Hugging Face's modeling_nemotron_h.py, its Mamba-2
// in the dual form of Dao & Gu 2024, section 3: a masked attention over all earlier tokens, and no state at
// all.
#include <cmath>

#include "tests/runtime/models/float64_blocks.h"

namespace halod::test {
namespace {

/// down(relu(up x)^2)
Vector squared_relu(const Float64File& file, const std::string& p, const std::string& kind, const Vector& x,
                    int64_t expert = 0) {
  Vector up = file.times(p + "ffn_up" + kind + ".weight", x, expert);
  for (double& value : up) value = value > 0 ? value * value : 0;
  return file.times(p + "ffn_down" + kind + ".weight", up, expert);
}

Vector experts(const Float64File& file, const std::string& p, const Vector& x) {
  Vector scores = file.times(p + "ffn_gate_inp.weight", x);
  for (double& score : scores) score = sigmoid(score);
  const bool is_latent = file.has(p + "ffn_latent_down.weight");
  const Vector input = is_latent ? file.times(p + "ffn_latent_down.weight", x) : x;
  Vector routed(input.size());
  for (const Share& share :
       best_shares(scores, file.values(p + "exp_probs_b.bias"), file.count("expert_used_count"))) {
    add(routed, squared_relu(file, p, "_exps", input, share.expert),
        share.weight * file.number("expert_weights_scale"));
  }
  Vector sum = is_latent ? file.times(p + "ffn_latent_up.weight", routed) : routed;
  add(sum, squared_relu(file, p, "_shexp", x));
  return sum;
}

Rows mamba2(const Float64File& file, const std::string& p, const Rows& x) {
  const int64_t inner = file.count("ssm.inner_size"), n_heads = file.count("ssm.time_step_rank"),
                n_groups = file.count("ssm.group_count"), state_size = file.count("ssm.state_size"),
                head_dim = inner / n_heads, n_channels = inner + 2 * n_groups * state_size;
  Rows z, channels, dt;
  for (const Vector& projected : file.times(p + "ssm_in.weight", x)) {
    z.push_back(part(projected, 0, inner));
    channels.push_back(part(projected, inner, n_channels));
    dt.push_back(part(projected, inner + n_channels, n_heads));
    for (int64_t h = 0; h < n_heads; ++h) {
      const auto head = static_cast<size_t>(h);
      dt.back()[head] = softplus(dt.back()[head] + file.values(p + "ssm_dt.bias")[head]);
    }
  }
  channels =
      causal_convolution(channels, file.values(p + "ssm_conv1d.weight"), file.values(p + "ssm_conv1d.bias"));
  Rows out;
  for (size_t t = 0; t < x.size(); ++t) {
    Vector y(static_cast<size_t>(inner));
    for (int64_t h = 0; h < n_heads; ++h) {
      const auto head = static_cast<size_t>(h);
      const int64_t group = h / (n_heads / n_groups), b_at = inner + group * state_size,
                    c_at = b_at + n_groups * state_size;
      const auto value = [&](size_t token, int64_t i) {
        return channels[token][static_cast<size_t>(h * head_dim + i)];
      };
      for (size_t s = 0; s <= t; ++s) {
        double steps = 0, product = 0;
        for (size_t later = s + 1; later <= t; ++later) steps += dt[later][head];
        for (int64_t i = 0; i < state_size; ++i)
          product += channels[s][static_cast<size_t>(b_at + i)] * channels[t][static_cast<size_t>(c_at + i)];
        const double weight = product * std::exp(file.values(p + "ssm_a")[head] * steps) * dt[s][head];
        for (int64_t i = 0; i < head_dim; ++i)
          y[static_cast<size_t>(h * head_dim + i)] += weight * value(s, i);
      }
      for (int64_t i = 0; i < head_dim; ++i)
        y[static_cast<size_t>(h * head_dim + i)] += file.values(p + "ssm_d")[head] * value(t, i);
    }
    for (size_t i = 0; i < y.size(); ++i) y[i] *= silu(z[t][i]);
    // Gate first, then a norm over each group's part.
    Vector normed;
    for (int64_t first = 0; first < inner; first += inner / n_groups) {
      const Vector each =
          rms_norm(part(y, first, inner / n_groups),
                   part(file.values(p + "ssm_norm.weight"), first, inner / n_groups), file.epsilon());
      normed.insert(normed.end(), each.begin(), each.end());
    }
    out.push_back(file.times(p + "ssm_out.weight", normed));
  }
  return out;
}

}  // namespace

Rows nemotron_h_logits(const Float64File& file, std::span<const TokenId> tokens) {
  const std::vector<int64_t> n_kv_heads = file.by_layer("attention.head_count_kv"),
                             widths = file.by_layer("feed_forward_length");
  Rows hidden = file.embedded(tokens);
  for (size_t layer = 0; layer < widths.size(); ++layer) {
    const std::string p = "blk." + std::to_string(layer) + ".";
    const Rows x = rms_norm(hidden, file.values(p + "attn_norm.weight"), file.epsilon());
    Rows out;
    if (n_kv_heads[layer] > 0) {
      out = file.times(p + "attn_output.weight",
                       attend(file.times(p + "attn_q.weight", x), file.times(p + "attn_k.weight", x),
                              file.times(p + "attn_v.weight", x), file.count("attention.key_length")));
    } else if (widths[layer] == 0) {
      out = mamba2(file, p, x);
    } else {
      for (const Vector& row : x)
        out.push_back(file.has(p + "ffn_gate_inp.weight") ? experts(file, p, row)
                                                          : squared_relu(file, p, "", row));
    }
    for (size_t t = 0; t < tokens.size(); ++t) add(hidden[t], out[t]);
  }
  return file.logits(hidden);
}

}  // namespace halod::test

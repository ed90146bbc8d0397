// Qwen3-Next and Qwen3.5's mixtures of experts, and what converters to GGUF make of them.
#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

#include "tests/support/hf_family_writer.h"

namespace halod::test {
namespace {

/// Qwen3-Next; Qwen3.5 with `is_35`: other names of the same, and GGUF's value heads in turns.
class DeltaNetWriter {
 public:
  DeltaNetWriter(HfTwin& twin, const std::string& model_type)
      : is_35_(model_type != "qwen3_next"),
        twin_(twin),
        writer_(twin, model_type, is_35_ ? "qwen35moe" : "qwen3next") {}

  void write() {
    writer_.norms_less_one = true;
    writer_.set_sizes(1e7, true, kDeltaLayers);
    for (const auto& [key, value] : std::initializer_list<std::pair<const char*, int64_t>>{
             {"rope.dimension_count", kHeadDim / 4},
             {"expert_shared_feed_forward_length", kShared},
             {"full_attention_interval", 3},
             {"ssm.conv_kernel", 4},
             {"ssm.state_size", kDim},
             {"ssm.group_count", kKeyHeads},
             {"ssm.time_step_rank", kValueHeads},
             {"ssm.inner_size", kValueHeads * kDim}})
      writer_.set(key, value);
    std::string config = writer_.config(
        1e7,
        fmt::format(R"(, "moe_intermediate_size": {}, "num_experts": {}, "num_experts_per_tok": {},
          "shared_expert_intermediate_size": {}, "full_attention_interval": 3, "linear_conv_kernel_dim": 4,
          "linear_key_head_dim": {}, "linear_value_head_dim": {}, "linear_num_key_heads": {},
          "linear_num_value_heads": {},
          "layer_types": ["linear_attention", "linear_attention", "full_attention"])",
                    kWidth, kExperts, kExpertsPerToken, kShared, kDim, kDim, kKeyHeads, kValueHeads),
        kDeltaLayers);
    if (is_35_) {
      writer_.prefix = "model.language_model.";
      config = fmt::format(
          R"({{"model_type": "qwen3_5_moe", "text_config": {}, "vision_config": {{"depth": 1}}}})", config);
      twin_.add_hf("model.visual.patch_embed.proj.bias", twin_.random({8}, 1));
      twin_.add_hf("mtp.fc.weight", twin_.random({8, 8}, 1));
    }
    twin_.set_config(config);
    writer_.outside();
    for (int64_t i = 0; i < kDeltaLayers; ++i) {
      writer_.norms(i, "post_attention_norm");
      if (i == 2) {
        writer_.attention(i, false, false, 2 * kHeads * kHeadDim);
        writer_.head_norms(i, kHeadDim, kHeadDim);
      } else {
        delta_net(i);
      }
      const bool is_fused = is_35_ && twin_.options().quantisation == TwinQuantisation::kNone;
      is_fused ? fused_experts(i) : writer_.experts(i, "mlp", "gate_proj", "up_proj", "down_proj");
      shared_expert(i);
    }
  }

 private:
  static constexpr int64_t kDeltaLayers = 3, kShared = 64, kDim = 64, kKeyHeads = 2, kValueHeads = 4,
                           kRatio = kValueHeads / kKeyHeads, kKeys = kKeyHeads * kDim,
                           kValues = kValueHeads * kDim;

  /// Where GGUF has what the folder has in place of value head j: key heads in turns.
  std::vector<int64_t> value_rows(int64_t first, int64_t width) const {
    std::vector<int64_t> order;
    for (int64_t j = 0; j < kValueHeads; ++j) {
      const int64_t head = is_35_ ? j % kKeyHeads * kRatio + j / kKeyHeads : j;
      for (int64_t i = 0; i < width; ++i) order.push_back(first + head * width + i);
    }
    return order;
  }

  std::vector<int64_t> channels() const {
    std::vector<int64_t> order = strided(2 * kKeys, 0, 1);
    for (const int64_t row : value_rows(2 * kKeys, kDim)) order.push_back(row);
    return order;
  }

  void delta_net(int64_t i) {
    const std::string hf = writer_.hf_layer(i) + "linear_attn.", gguf = writer_.gguf_layer(i);
    if (is_35_) {
      twin_.add_gguf(gguf + "attn_qkv.weight",
                     twin_.linear(hf + "in_proj_qkv", 2 * kKeys + kValues, kHidden, 1.5F).chosen(channels()));
      twin_.add_gguf(gguf + "attn_gate.weight",
                     twin_.linear(hf + "in_proj_z", kValues, kHidden, 1.2F).chosen(value_rows(0, kDim)));
      for (const auto& [from, to] : {std::pair("in_proj_b", "ssm_beta"), std::pair("in_proj_a", "ssm_alpha")})
        twin_.add_gguf(gguf + to + ".weight",
                       twin_.plain_linear(hf + from, kValueHeads, kHidden, 1.2F).chosen(value_rows(0, 1)));
    } else {
      const TwinTensor qkvz = twin_.linear(hf + "in_proj_qkvz", 2 * kKeys + 2 * kValues, kHidden, 1.5F);
      // Of each key head: q, k, then v and z of its value heads.
      constexpr int64_t kPart = 2 * kDim + 2 * kRatio * kDim;
      const auto part = [&](int64_t from, int64_t n) {
        std::vector<int64_t> rows;
        for (int64_t head = 0; head < kKeyHeads; ++head) {
          for (int64_t row = 0; row < n; ++row) rows.push_back(head * kPart + from + row);
        }
        return qkvz.chosen(rows);
      };
      TwinTensor qkv = part(0, kDim);
      qkv.append(part(kDim, kDim));
      qkv.append(part(2 * kDim, kRatio * kDim));
      twin_.add_gguf(gguf + "attn_qkv.weight", qkv);
      twin_.add_gguf(gguf + "attn_gate.weight", part(2 * kDim + kRatio * kDim, kRatio * kDim));
      writer_.twin().add_gguf(gguf + "ssm_ba.weight",
                              twin_.plain_linear(hf + "in_proj_ba", 2 * kValueHeads, kHidden, 1.2F));
    }
    const TwinTensor conv = twin_.random({2 * kKeys + kValues, 4}, 0.5F);
    twin_.add_hf(hf + "conv1d.weight", conv.reshaped({2 * kKeys + kValues, 1, 4}));
    twin_.add_gguf(gguf + "ssm_conv1d.weight", conv.chosen(channels()), false);
    const TwinTensor dt = twin_.random({kValueHeads}, 0.7F, -0.5F);
    twin_.add_hf(hf + "dt_bias", dt);
    twin_.add_gguf(gguf + "ssm_dt.bias", dt.chosen(value_rows(0, 1)));
    TwinTensor a = twin_.random({kValueHeads}, 1, -1);
    twin_.add_hf(hf + "A_log", a);
    for (float& value : a.values) value = -std::exp(value);
    twin_.add_gguf(gguf + "ssm_a", a.chosen(value_rows(0, 1)));
    // The one norm that is not stored less one.
    twin_.add(hf + "norm.weight", gguf + "ssm_norm.weight", twin_.random({kDim}, 0.15F, 1));
    TwinTensor out = twin_.linear(hf + "out_proj", kHidden, kValues, 1.2F);
    const TwinTensor as_it_is = out;
    const std::vector<int64_t> columns = value_rows(0, kDim);
    for (int64_t row = 0; row < kHidden; ++row) {
      for (int64_t col = 0; col < kValues; ++col)
        out.values[static_cast<size_t>(row * kValues + col)] =
            as_it_is.values[static_cast<size_t>(row * kValues + columns[static_cast<size_t>(col)])];
    }
    twin_.add_gguf(gguf + "ssm_out.weight", out);
  }

  void fused_experts(int64_t i) {
    const std::string hf = writer_.hf_layer(i) + "mlp.", gguf = writer_.gguf_layer(i);
    twin_.add_gguf(gguf + "ffn_gate_inp.weight", twin_.plain_linear(hf + "gate", kExperts, kHidden, 1.5F));
    twin_.add(hf + "experts.gate_up_proj", gguf + "ffn_gate_up_exps.weight",
              twin_.random({kExperts, 2 * kWidth, kHidden}, 1.3F / 8));
    twin_.add(hf + "experts.down_proj", gguf + "ffn_down_exps.weight",
              twin_.random({kExperts, kHidden, kWidth}, 1.5F / 10));
  }

  void shared_expert(int64_t i) {
    const std::string hf = writer_.hf_layer(i) + "mlp.", gguf = writer_.gguf_layer(i);
    writer_.linear(hf + "shared_expert.gate_proj", gguf + "ffn_gate_shexp", kShared, kHidden, 1.3F);
    writer_.linear(hf + "shared_expert.up_proj", gguf + "ffn_up_shexp", kShared, kHidden, 1.3F);
    writer_.linear(hf + "shared_expert.down_proj", gguf + "ffn_down_shexp", kHidden, kShared, 1.5F);
    const TwinTensor gate = twin_.random({1, kHidden}, 1.0F / 8);
    twin_.add_hf(hf + "shared_expert_gate.weight", gate);
    // A vector, but one that is multiplied with: in the dtype of the matrices.
    const bool is_float = twin_.options().dtype == "F32";
    if (!is_float) throw std::runtime_error("twins with shared experts are F32");
    twin_.add_gguf(gguf + "ffn_gate_inp_shexp.weight", gate.reshaped({kHidden}));
  }

  bool is_35_;
  HfTwin& twin_;
  FamilyWriter writer_;
};

}  // namespace

void write_delta_nets(HfTwin& twin, const std::string& model_type) {
  DeltaNetWriter(twin, model_type).write();
}

}  // namespace halod::test

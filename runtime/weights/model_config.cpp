#include "runtime/weights/model_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <string_view>

#include "runtime/weights/config_keys.h"
#include "runtime/weights/gguf_reader.h"
#include "runtime/weights/rope_config.h"

namespace halod {
namespace {

enum class Ffn : uint8_t { kDense, kMoe, kEither };

/// What an architecture's name says and its metadata does not.
struct Architecture {
  std::string_view name;
  Ffn ffn;
  RopeTraits rope = {};
  double default_rope_theta = 0;  ///< 0: rope.freq_base must be there
  bool has_attention_bias = false;
  bool has_attention_sinks = false;
  int64_t sliding_period = 0;  ///< 0: no sliding window
  RouterGating gating = RouterGating::kSoftmax;
  bool has_expert_bias = false;
  ExpertActivation activation = ExpertActivation::kSwiglu;
  bool has_delta_nets = false;  ///< and gated attention, and a shared expert
  bool tiles_value_heads = false;
};

constexpr Architecture kArchitectures[] = {
    // YaRN's range: GGUF has no key for it, and the model's own configuration says "truncate": false.
    {.name = "gpt-oss",
     .ffn = Ffn::kMoe,
     .rope = {.rounds_correction_range = false},
     .has_attention_bias = true,
     .has_attention_sinks = true,
     .sliding_period = 2,
     .gating = RouterGating::kSoftmaxOfChosen,
     .has_expert_bias = true,
     .activation = ExpertActivation::kClampedSwiglu},
    {.name = "llama",
     .ffn = Ffn::kEither,
     .rope = {.pairing = RopePairing::kNeighbours},
     .default_rope_theta = 10000},
    {.name = "minimax-m2",
     .ffn = Ffn::kMoe,
     .rope = {.may_be_partial = true},
     .gating = RouterGating::kSigmoid},
    {.name = "qwen2", .ffn = Ffn::kDense, .has_attention_bias = true},
    {.name = "qwen3", .ffn = Ffn::kDense},
    {.name = "qwen3moe", .ffn = Ffn::kMoe},
    {.name = "qwen3next", .ffn = Ffn::kMoe, .rope = {.may_be_partial = true}, .has_delta_nets = true},
    {.name = "qwen35moe",
     .ffn = Ffn::kMoe,
     .rope = {.may_be_partial = true},
     .has_delta_nets = true,
     .tiles_value_heads = true},
};

std::string supported_architectures() {
  std::string names;
  for (const Architecture& architecture : kArchitectures) {
    if (!names.empty()) names += ", ";
    names += architecture.name;
  }
  return names;
}

constexpr int64_t kMaxExtent = ConfigKeys::kMaxExtent;
constexpr int64_t kMaxLayers = 4096;

const Architecture& find_architecture(const Metadata& metadata) {
  const std::string field = "general.architecture";
  const std::string name = metadata.string(field).value();
  const auto row = std::ranges::find(kArchitectures, name, &Architecture::name);
  if (row == std::end(kArchitectures)) {
    ConfigKeys(metadata, name)
        .fail_unsupported(
            field, fmt::format("is '{}'; supported are {}", printable(name), supported_architectures()));
  }
  return *row;
}

class ModelConfigReader {
 public:
  explicit ModelConfigReader(const Checkpoint& file)
      : file_(file),
        metadata_(file.metadata()),
        architecture_(find_architecture(metadata_)),
        keys_(metadata_, std::string(architecture_.name)) {}

  ModelConfig read() {
    config_.architecture = architecture_.name;
    config_.name = metadata_.string_or("general.name", config_.architecture).value();
    config_.hidden_size = keys_.count("embedding_length");
    config_.n_layers = keys_.count("block_count", kMaxLayers);
    config_.context_length = keys_.count("context_length", int64_t{1} << 30);
    read_attention();
    if (architecture_.has_delta_nets) read_delta_nets();
    if (is_moe()) {
      read_experts();
    } else {
      config_.intermediate_size = keys_.count("feed_forward_length");
    }
    config_.rope_theta = architecture_.default_rope_theta > 0 && !keys_.has("rope.freq_base")
                             ? static_cast<float>(architecture_.default_rope_theta)
                             : keys_.positive_number("rope.freq_base", 1e12);
    config_.rope = read_rope_config(keys_, architecture_.rope, config_.head_dim);
    config_.rms_norm_eps = keys_.positive_number("attention.layer_norm_rms_epsilon", 1.0);
    read_vocab_size();
    config_.has_column_orders = std::ranges::any_of(file_.tensors(), &TensorInfo::has_column_order);
    refuse_what_would_be_computed_wrongly();
    return config_;
  }

 private:
  bool is_moe() const {
    return architecture_.ffn == Ffn::kMoe ||
           (architecture_.ffn == Ffn::kEither && keys_.count_or("expert_count", 0, 1 << 16) > 0);
  }

  void read_attention() {
    config_.n_heads = keys_.count("attention.head_count");
    config_.n_kv_heads =
        keys_.has("attention.head_count_kv") ? keys_.count("attention.head_count_kv") : config_.n_heads;
    if (config_.n_heads % config_.n_kv_heads != 0) {
      keys_.fail_corrupt(
          keys_.key("attention.head_count_kv"),
          fmt::format("is {}, which does not divide the {} heads", config_.n_kv_heads, config_.n_heads));
    }
    read_head_dim();
    config_.has_attention_sinks = architecture_.has_attention_sinks;
    config_.sliding_period = architecture_.sliding_period;
    if (architecture_.sliding_period > 0) config_.sliding_window = keys_.count("attention.sliding_window");
    // Some models of the llama family have them; their files do not say so elsewhere.
    config_.has_attention_bias =
        architecture_.has_attention_bias || file_.find_tensor("blk.0.attn_q.bias") != nullptr;
  }

  void read_head_dim() {
    const std::string key_length = keys_.key("attention.key_length");
    if (keys_.has("attention.key_length")) {
      config_.head_dim = keys_.count("attention.key_length");
    } else if (config_.hidden_size % config_.n_heads == 0) {
      config_.head_dim = config_.hidden_size / config_.n_heads;
    } else {
      keys_.fail_corrupt(key_length, fmt::format("is missing, and {} heads do not divide hidden size {}",
                                                 config_.n_heads, config_.hidden_size));
    }
    if (config_.head_dim % 2 != 0) {
      keys_.fail_corrupt(
          key_length,
          fmt::format("makes heads of {} values; rotary embedding needs an even number", config_.head_dim));
    }
    if (config_.n_heads * config_.head_dim > kMaxExtent) {
      keys_.fail_corrupt(keys_.key("attention.head_count"),
                         fmt::format("is {} with {} values each, more than {} together", config_.n_heads,
                                     config_.head_dim, kMaxExtent));
    }
  }

  void read_delta_nets() {
    const int64_t interval = keys_.count_or("full_attention_interval", 4, kMaxLayers);
    if (interval < 1) keys_.fail_corrupt(keys_.key("full_attention_interval"), "is 0, allowed is 1 or more");
    for (int64_t i = 0; i < config_.n_layers; ++i)
      config_.mixers.push_back((i + 1) % interval == 0 ? Mixer::kAttention : Mixer::kGatedDeltaNet);
    config_.has_gated_attention = true;
    config_.shared_expert_intermediate_size = keys_.count("expert_shared_feed_forward_length");
    RecurrentConfig& recurrent = config_.recurrent;
    recurrent.conv_kernel = keys_.count("ssm.conv_kernel", 64);
    recurrent.head_dim = keys_.count("ssm.state_size", 1024);
    recurrent.n_key_heads = keys_.count("ssm.group_count", 1 << 16);
    recurrent.n_value_heads = keys_.count("ssm.time_step_rank", 1 << 16);
    // GGUF's files have their architecture's order; what is translated into their words may not.
    recurrent.tiles_value_heads = keys_.boolean_or("ssm.tiles_value_heads", architecture_.tiles_value_heads);
    if (recurrent.conv_kernel < 2)
      keys_.fail_unsupported(keys_.key("ssm.conv_kernel"), "is 1; 2 or more taps are supported");
    if (recurrent.head_dim % 16 != 0) {
      keys_.fail_unsupported(keys_.key("ssm.state_size"),
                             fmt::format("is {}; only multiples of 16 are supported", recurrent.head_dim));
    }
    if (recurrent.n_value_heads % recurrent.n_key_heads != 0) {
      keys_.fail_corrupt(keys_.key("ssm.group_count"),
                         fmt::format("is {}, which does not divide the {} heads of ssm.time_step_rank",
                                     recurrent.n_key_heads, recurrent.n_value_heads));
    }
    if (keys_.count("ssm.inner_size", int64_t{1} << 30) != recurrent.value_size()) {
      keys_.fail_corrupt(keys_.key("ssm.inner_size"),
                         fmt::format("is {}, but {} heads of {} are {}", keys_.count("ssm.inner_size"),
                                     recurrent.n_value_heads, recurrent.head_dim, recurrent.value_size()));
    }
  }

  void read_experts() {
    config_.n_experts = keys_.count("expert_count", 1 << 16);
    config_.n_experts_per_token = keys_.count("expert_used_count", 1 << 16);
    if (config_.n_experts_per_token > config_.n_experts) {
      keys_.fail_corrupt(
          keys_.key("expert_used_count"),
          fmt::format("is {}, but there are {} experts", config_.n_experts_per_token, config_.n_experts));
    }
    config_.router_gating = architecture_.gating;
    config_.has_fused_experts = file_.find_tensor("blk.0.ffn_gate_up_exps.weight") != nullptr;
    config_.has_expert_bias = architecture_.has_expert_bias;
    config_.expert_activation = architecture_.activation;
    // Converters write 0 for "none".
    config_.expert_weights_scale = static_cast<float>(keys_.number_or("expert_weights_scale", 1));
    if (config_.expert_weights_scale == 0) config_.expert_weights_scale = 1;
    // Mixtral's files have one length for both.
    const bool has_own_length = architecture_.ffn == Ffn::kMoe || keys_.has("expert_feed_forward_length");
    config_.moe_intermediate_size =
        keys_.count(has_own_length ? "expert_feed_forward_length" : "feed_forward_length");
  }

  void read_vocab_size() {
    const std::string field = "token_embd.weight";
    const TensorInfo* embedding = file_.find_tensor(field);
    if (embedding == nullptr)
      keys_.fail_corrupt(field, "(the token embedding) is missing; this file holds no whole model");
    if (embedding->shape.size() != 2 || embedding->cols() != config_.hidden_size ||
        embedding->rows() > kMaxExtent) {
      keys_.fail_corrupt(field, fmt::format("has shape [{}], wanted [vocabulary, {}]",
                                            fmt::join(embedding->shape, ", "), config_.hidden_size));
    }
    config_.vocab_size = embedding->rows();
    if (!metadata_.contains("tokenizer.ggml.tokens")) return;
    const auto n_tokens = static_cast<int64_t>(metadata_.strings("tokenizer.ggml.tokens").value().size());
    if (n_tokens > config_.vocab_size) {
      keys_.fail_corrupt(
          "tokenizer.ggml.tokens",
          fmt::format("holds {} tokens, but token_embd.weight has {} rows", n_tokens, config_.vocab_size));
    }
  }

  // Everything that would change the result and that this build does not do; ignoring it would give fluent
  // nonsense.
  void refuse_what_would_be_computed_wrongly() const {
    keys_.only("attention.value_length", config_.head_dim,
               "values of another size than keys are not supported");
    if (architecture_.sliding_period == 0)
      keys_.only("attention.sliding_window", 0,
                 "sliding-window attention is not supported for this architecture");
    if (!architecture_.has_delta_nets)
      keys_.only("expert_shared_count", 0, "shared experts are not supported for this architecture");
    keys_.only("leading_dense_block_count", 0,
               "leading dense layers are not supported for this architecture");
    // GGUF's numbers for the three.
    const auto gating = static_cast<int64_t>(architecture_.gating);
    constexpr int64_t kNumbers[] = {1, 3, 2};
    keys_.only("expert_gating_func", is_moe() ? kNumbers[gating] : 0,
               "another way of weighing experts is not supported for this architecture");
    if (!keys_.boolean_or("expert_weights_norm", true)) {
      keys_.fail_unsupported(keys_.key("expert_weights_norm"),
                             "is false; only normalised expert weights are supported");
    }
    for (const char* suffix : {"attention.scale", "attention.clamp_kqv", "attn_logit_softcapping",
                               "final_logit_softcapping", "logit_scale", "embedding_scale", "residual_scale"})
      keys_.only_number(suffix, 0, "this architecture does not scale or bound here");
  }

  const Checkpoint& file_;
  const Metadata& metadata_;
  const Architecture& architecture_;
  const ConfigKeys keys_;
  ModelConfig config_;
};

}  // namespace

int64_t ModelConfig::place_of_layer(int64_t layer_idx) const {
  int64_t place = 0;
  for (int64_t i = 0; i < layer_idx; ++i) place += mixer(i) == mixer(layer_idx);
  return place;
}

int64_t ModelConfig::n_layers_with(Mixer wanted) const {
  int64_t n = 0;
  for (int64_t i = 0; i < n_layers; ++i) n += mixer(i) == wanted;
  return n;
}

Result<ModelConfig> read_model_config(const Checkpoint& file) {
  try {
    return ModelConfigReader(file).read();
  } catch (const ErrorException& exception) {
    return exception.error();
  }
}

}  // namespace halod

#include "runtime/weights/model_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <string_view>

#include "runtime/weights/config_keys.h"
#include "runtime/weights/gguf_reader.h"
#include "runtime/weights/recurrent_config.h"
#include "runtime/weights/rope_config.h"

namespace halod {
namespace {

enum class Ffn : uint8_t { kDense, kMoe, kEither };
/// Which key says how wide the shared expert is.
enum class SharedExpertWidth : uint8_t {
  kNone,       ///< there is no such expert
  kOwnLength,  ///< expert_shared_feed_forward_length
  kByCount,    ///< expert_shared_count times the width of the others
};

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
  SharedExpertWidth shared_expert = SharedExpertWidth::kNone;
  bool may_lead_dense = false;   ///< the first layers may have no experts
  bool may_guess_ahead = false;  ///< the last layers may be for guessing ahead, and are left out
  bool has_delta_nets = false;   ///< and gated attention, and a gate of the shared expert
  bool tiles_value_heads = false;
  bool has_mamba2 = false;  ///< layers are one of attention, Mamba-2 and feed-forward, by arrays
  bool has_rope = true;
};

constexpr Architecture kArchitectures[] = {
    {.name = "glm4moe",
     .ffn = Ffn::kMoe,
     .rope = {.may_be_partial = true},
     .gating = RouterGating::kSigmoid,
     .shared_expert = SharedExpertWidth::kByCount,
     .may_lead_dense = true,
     .may_guess_ahead = true},
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
    {.name = "nemotron_h",
     .ffn = Ffn::kDense,
     .activation = ExpertActivation::kSquaredRelu,
     .has_mamba2 = true,
     .has_rope = false},
    {.name = "nemotron_h_moe",
     .ffn = Ffn::kMoe,
     .gating = RouterGating::kSigmoid,
     .activation = ExpertActivation::kSquaredRelu,
     .shared_expert = SharedExpertWidth::kOwnLength,
     .has_mamba2 = true,
     .has_rope = false},
    {.name = "qwen2", .ffn = Ffn::kDense, .has_attention_bias = true},
    {.name = "qwen3", .ffn = Ffn::kDense},
    {.name = "qwen3moe", .ffn = Ffn::kMoe},
    {.name = "qwen3next",
     .ffn = Ffn::kMoe,
     .rope = {.may_be_partial = true},
     .shared_expert = SharedExpertWidth::kOwnLength,
     .has_delta_nets = true},
    {.name = "qwen35moe",
     .ffn = Ffn::kMoe,
     .rope = {.may_be_partial = true},
     .shared_expert = SharedExpertWidth::kOwnLength,
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
    if (architecture_.may_guess_ahead) leave_out_last_layers();
    config_.context_length = keys_.count("context_length", int64_t{1} << 30);
    read_layers();
    read_attention();
    config_.expert_activation = architecture_.activation;
    if (is_moe()) read_experts();
    if ((!is_moe() || config_.n_leading_dense_layers > 0) && !architecture_.has_mamba2)
      config_.intermediate_size = keys_.count("feed_forward_length");
    if (architecture_.has_rope) read_rope();
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
    if (config_.n_kv_heads == 0) {
      config_.n_kv_heads =
          keys_.has("attention.head_count_kv") ? keys_.count("attention.head_count_kv") : config_.n_heads;
    }
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
    const auto first = std::ranges::find(config_.mixers, Mixer::kAttention);
    const std::string bias =
        fmt::format("blk.{}.attn_q.bias", first == config_.mixers.end() ? 0 : first - config_.mixers.begin());
    config_.has_attention_bias = architecture_.has_attention_bias || file_.find_tensor(bias) != nullptr;
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

  /// Layers that guess the tokens after the next one are nothing that an answer depends on.
  void leave_out_last_layers() {
    config_.n_unused_layers = keys_.count_or("nextn_predict_layers", 0, kMaxLayers);
    if (config_.n_unused_layers >= config_.n_layers) {
      keys_.fail_corrupt(keys_.key("nextn_predict_layers"),
                         fmt::format("is {} of {} layers in all", config_.n_unused_layers, config_.n_layers));
    }
    config_.n_layers -= config_.n_unused_layers;
  }

  void read_rope() {
    config_.rope_theta = architecture_.default_rope_theta > 0 && !keys_.has("rope.freq_base")
                             ? static_cast<float>(architecture_.default_rope_theta)
                             : keys_.positive_number("rope.freq_base", 1e12);
    config_.rope = read_rope_config(keys_, architecture_.rope, config_.head_dim);
  }

  void read_layers() {
    if (architecture_.has_delta_nets) read_delta_nets();
    if (architecture_.has_mamba2) read_single_blocks();
  }

  void read_delta_nets() {
    const int64_t interval = keys_.count_or("full_attention_interval", 4, kMaxLayers);
    if (interval < 1) keys_.fail_corrupt(keys_.key("full_attention_interval"), "is 0, allowed is 1 or more");
    for (int64_t i = 0; i < config_.n_layers; ++i)
      config_.mixers.push_back((i + 1) % interval == 0 ? Mixer::kAttention : Mixer::kGatedDeltaNet);
    config_.has_gated_attention = true;
    config_.has_shared_expert_gate = true;
    config_.recurrent = read_gated_delta_net_config(keys_);
    // GGUF's files have their architecture's order; what is translated into their words may not.
    config_.recurrent.tiles_value_heads =
        keys_.boolean_or("ssm.tiles_value_heads", architecture_.tiles_value_heads);
  }

  /// Each layer is a feed-forward network where it has a width, attention where it has heads, else Mamba-2.
  void read_single_blocks() {
    const std::vector<int64_t> n_kv_heads = keys_.by_layer("attention.head_count_kv", config_.n_layers),
                               widths = keys_.by_layer("feed_forward_length", config_.n_layers);
    for (size_t i = 0; i < widths.size(); ++i) {
      if (widths[i] > 0 && n_kv_heads[i] > 0) {
        keys_.fail_unsupported(
            keys_.key("feed_forward_length"),
            fmt::format("is {} for layer {}, which attention.head_count_kv gives {} heads; "
                        "layers with both are not supported for this architecture",
                        widths[i], i, n_kv_heads[i]));
      }
      config_.mixers.push_back(widths[i] > 0       ? Mixer::kNone
                               : n_kv_heads[i] > 0 ? Mixer::kAttention
                                                   : Mixer::kMamba2);
    }
    config_.n_kv_heads = only_nonzero("attention.head_count_kv", n_kv_heads);
    if (config_.n_kv_heads == 0)
      keys_.fail_unsupported(keys_.key("attention.head_count_kv"),
                             "is 0 for every layer; models without attention are not supported");
    config_.intermediate_size = only_nonzero("feed_forward_length", widths);
    if (config_.has_recurrent_state()) config_.recurrent = read_mamba2_config(keys_);
  }

  /// What all layers with any have; 0 where none has.
  int64_t only_nonzero(std::string_view suffix, const std::vector<int64_t>& values) const {
    int64_t found = 0;
    for (const int64_t value : values) {
      if (value == 0) continue;
      if (found != 0 && value != found) {
        keys_.fail_unsupported(keys_.key(suffix), fmt::format("holds {} and {}; only layers of one size are "
                                                              "supported",
                                                              found, value));
      }
      found = value;
    }
    return found;
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
    if (architecture_.may_lead_dense)
      config_.n_leading_dense_layers = keys_.count_or("leading_dense_block_count", 0, config_.n_layers);
    config_.has_fused_experts = file_.find_tensor(fmt::format("blk.{}.ffn_gate_up_exps.weight",
                                                              config_.n_leading_dense_layers)) != nullptr;
    config_.has_expert_bias = architecture_.has_expert_bias;
    // Converters write 0 for "none".
    config_.expert_weights_scale = static_cast<float>(keys_.number_or("expert_weights_scale", 1));
    if (config_.expert_weights_scale == 0) config_.expert_weights_scale = 1;
    config_.expert_latent_size = architecture_.has_mamba2 ? keys_.count_or("moe_latent_size", 0) : 0;
    if (architecture_.shared_expert == SharedExpertWidth::kOwnLength)
      config_.shared_expert_intermediate_size = keys_.count("expert_shared_feed_forward_length");
    // Mixtral's files have one length for both.
    const bool has_own_length = architecture_.ffn == Ffn::kMoe || keys_.has("expert_feed_forward_length");
    config_.moe_intermediate_size =
        keys_.count(has_own_length ? "expert_feed_forward_length" : "feed_forward_length");
    if (architecture_.shared_expert == SharedExpertWidth::kByCount) {
      config_.shared_expert_intermediate_size =
          keys_.count_or("expert_shared_count", 0, 1 << 10) * config_.moe_intermediate_size;
    }
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
    if (architecture_.shared_expert == SharedExpertWidth::kNone)
      keys_.only("expert_shared_count", 0, "shared experts are not supported for this architecture");
    if (!architecture_.may_lead_dense)
      keys_.only("leading_dense_block_count", 0,
                 "leading dense layers are not supported for this architecture");
    keys_.at_most("expert_group_count", 1, "choosing groups of experts first is not supported");
    if (!architecture_.may_guess_ahead)
      keys_.only("nextn_predict_layers", 0,
                 "layers for guessing ahead are not supported for this architecture");
    if (!architecture_.has_mamba2)
      keys_.only("moe_latent_size", 0, "experts of another width are not supported for this architecture");
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

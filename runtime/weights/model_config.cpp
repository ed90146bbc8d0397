#include "runtime/weights/model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>

#include "runtime/weights/gguf_reader.h"

namespace halod {
namespace {

struct Architecture {
  std::string_view name;
  bool is_moe;
};

constexpr Architecture kArchitectures[] = {{"qwen3", false}, {"qwen3moe", true}};

std::string supported_architectures() {
  std::string names;
  for (const Architecture& architecture : kArchitectures) {
    if (!names.empty()) names += ", ";
    names += architecture.name;
  }
  return names;
}

// Far beyond any real model, and small enough for products of two of them to fit into 64 bits.
constexpr int64_t kMaxExtent = int64_t{1} << 24;
constexpr int64_t kMaxLayers = 4096;

class ModelConfigReader {
 public:
  explicit ModelConfigReader(const Checkpoint& file) : file_(file), metadata_(file.metadata()) {}

  ModelConfig read() {
    read_architecture();
    config_.name = metadata_.string_or("general.name", config_.architecture).value();
    config_.hidden_size = count("embedding_length", kMaxExtent);
    config_.n_layers = count("block_count", kMaxLayers);
    config_.context_length = count("context_length", int64_t{1} << 30);
    read_attention();
    if (is_moe_) {
      read_experts();
    } else {
      config_.intermediate_size = count("feed_forward_length", kMaxExtent);
    }
    config_.rope_theta = positive_number("rope.freq_base", 1e12);
    config_.rms_norm_eps = positive_number("attention.layer_norm_rms_epsilon", 1.0);
    read_vocab_size();
    refuse_what_would_be_computed_wrongly();
    return config_;
  }

 private:
  std::string key(std::string_view suffix) const {
    return fmt::format("{}.{}", config_.architecture, suffix);
  }

  [[noreturn]] void fail(ErrorCode code, const std::string& field, std::string_view problem) const {
    const std::string& name = metadata_.name_in_file(field);
    throw ErrorException(Error{code, fmt::format("{}: {} {}", metadata_.file_name(), name, problem), name});
  }
  [[noreturn]] void fail_corrupt(const std::string& field, std::string_view problem) const {
    fail(ErrorCode::kCorruptFile, field, problem);
  }
  [[noreturn]] void fail_unsupported(const std::string& field, std::string_view problem) const {
    fail(ErrorCode::kUnsupported, field, problem);
  }

  int64_t count(std::string_view suffix, int64_t max) const {
    const int64_t value = metadata_.integer(key(suffix)).value();
    if (value < 1 || value > max)
      fail_corrupt(key(suffix), fmt::format("is {}, allowed are 1 to {}", value, max));
    return value;
  }

  float positive_number(std::string_view suffix, double max) const {
    const double value = metadata_.real(key(suffix)).value();
    if (!(value > 0 && value <= max)) {
      fail_corrupt(key(suffix), fmt::format("is {}, allowed are numbers above 0 up to {}", value, max));
    }
    return static_cast<float>(value);
  }

  void read_architecture() {
    const std::string field = "general.architecture";
    const std::string name = metadata_.string(field).value();
    const auto row = std::ranges::find(kArchitectures, name, &Architecture::name);
    if (row == std::end(kArchitectures)) {
      fail_unsupported(field,
                       fmt::format("is '{}'; supported are {}", printable(name), supported_architectures()));
    }
    config_.architecture = name;
    is_moe_ = row->is_moe;
  }

  void read_attention() {
    config_.n_heads = count("attention.head_count", kMaxExtent);
    config_.n_kv_heads = metadata_.contains(key("attention.head_count_kv"))
                             ? count("attention.head_count_kv", kMaxExtent)
                             : config_.n_heads;
    if (config_.n_heads % config_.n_kv_heads != 0) {
      fail_corrupt(key("attention.head_count_kv"), fmt::format("is {}, which does not divide the {} heads",
                                                               config_.n_kv_heads, config_.n_heads));
    }
    if (metadata_.contains(key("attention.key_length"))) {
      config_.head_dim = count("attention.key_length", kMaxExtent);
    } else if (config_.hidden_size % config_.n_heads == 0) {
      config_.head_dim = config_.hidden_size / config_.n_heads;
    } else {
      fail_corrupt(key("attention.key_length"),
                   fmt::format("is missing, and {} heads do not divide hidden size {}", config_.n_heads,
                               config_.hidden_size));
    }
    if (config_.head_dim % 2 != 0) {
      fail_corrupt(
          key("attention.key_length"),
          fmt::format("makes heads of {} values; rotary embedding needs an even number", config_.head_dim));
    }
    if (config_.n_heads * config_.head_dim > kMaxExtent) {
      fail_corrupt(key("attention.head_count"),
                   fmt::format("is {} with {} values each, more than {} together", config_.n_heads,
                               config_.head_dim, kMaxExtent));
    }
  }

  void read_experts() {
    config_.n_experts = count("expert_count", 1 << 16);
    config_.n_experts_per_token = count("expert_used_count", 1 << 16);
    if (config_.n_experts_per_token > config_.n_experts) {
      fail_corrupt(key("expert_used_count"), fmt::format("is {}, but there are {} experts",
                                                         config_.n_experts_per_token, config_.n_experts));
    }
    config_.moe_intermediate_size = count("expert_feed_forward_length", kMaxExtent);
  }

  void read_vocab_size() {
    const std::string field = "token_embd.weight";
    const TensorInfo* embedding = file_.find_tensor(field);
    if (embedding == nullptr)
      fail_corrupt(field, "(the token embedding) is missing; this file holds no whole model");
    if (embedding->shape.size() != 2 || embedding->cols() != config_.hidden_size ||
        embedding->rows() > kMaxExtent) {
      fail_corrupt(field, fmt::format("has shape [{}], wanted [vocabulary, {}]",
                                      fmt::join(embedding->shape, ", "), config_.hidden_size));
    }
    config_.vocab_size = embedding->rows();
    if (!metadata_.contains("tokenizer.ggml.tokens")) return;
    const auto n_tokens = static_cast<int64_t>(metadata_.strings("tokenizer.ggml.tokens").value().size());
    if (n_tokens > config_.vocab_size) {
      fail_corrupt("tokenizer.ggml.tokens", fmt::format("holds {} tokens, but token_embd.weight has {} rows",
                                                        n_tokens, config_.vocab_size));
    }
  }

  // Everything that would change the result and that this build does not do; ignoring it would give fluent
  // nonsense.
  void refuse_what_would_be_computed_wrongly() const {
    const std::string scaling = metadata_.string_or(key("rope.scaling.type"), "none").value();
    if (scaling != "none") {
      fail_unsupported(
          key("rope.scaling.type"),
          fmt::format("is '{}'; only unscaled rotary embedding is supported", printable(scaling)));
    }
    for (const char* suffix : {"rope.scaling.factor", "rope.scale_linear"}) {
      const double factor = metadata_.real_or(key(suffix), 1.0).value();
      if (factor != 0.0 && factor != 1.0) {
        fail_unsupported(key(suffix),
                         fmt::format("is {}; only unscaled rotary embedding is supported", factor));
      }
    }
    only("rope.dimension_count", config_.head_dim, "rotary embedding over part of a head is not supported");
    only("attention.value_length", config_.head_dim, "values of another size than keys are not supported");
    only("attention.sliding_window", 0, "sliding-window attention is not supported");
    only("expert_shared_count", 0, "shared experts are not supported for this architecture");
    only("leading_dense_block_count", 0, "leading dense layers are not supported for this architecture");
    only("expert_gating_func", is_moe_ ? 1 : 0, "only softmax gating is supported");
    if (!metadata_.boolean_or(key("expert_weights_norm"), true).value()) {
      fail_unsupported(key("expert_weights_norm"), "is false; only normalised expert weights are supported");
    }
  }

  void only(std::string_view suffix, int64_t expected, std::string_view reason) const {
    const int64_t value = metadata_.integer_or(key(suffix), expected).value();
    if (value != expected)
      fail_unsupported(key(suffix), fmt::format("is {}, wanted {}: {}", value, expected, reason));
  }

  const Checkpoint& file_;
  const Metadata& metadata_;
  bool is_moe_ = false;
  ModelConfig config_;
};

}  // namespace

Result<ModelConfig> read_model_config(const Checkpoint& file) {
  try {
    return ModelConfigReader(file).read();
  } catch (const ErrorException& exception) {
    return exception.error();
  }
}

}  // namespace halod

#include "runtime/weights/hf/hf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <numbers>
#include <utility>

#include "runtime/weights/gguf_reader.h"

namespace halod {
namespace {

namespace json = boost::json;
using Kind = HfKey::Kind;

constexpr std::string_view kLlama3Rope = "llama3";

std::string_view rope_type_key(const JsonObject& rope) {
  return rope.contains("rope_type") ? "rope_type" : "type";
}

double rope_theta(const JsonObject& config, const HfFamily& family) {
  auto theta = config.real("rope_theta");
  const auto rope = rope_parameters(config);
  if (!theta && rope) theta = rope->real("rope_theta");
  return theta.value_or(family.rope_theta);
}

class ConfigTranslator {
 public:
  ConfigTranslator(const JsonObject& config, const HfFamily& family)
      : config_(config), family_(family), metadata_(config.file_name()) {}

  Metadata translate(std::string model_name) {
    metadata_.insert("general.architecture", std::string(family_.architecture));
    metadata_.set_name_in_file("general.architecture", "model_type");
    metadata_.insert("general.name", std::move(model_name));
    for (const HfKey& key : family_.keys) translate(key);
    translate_rope();
    for (const HfExpectation& expectation : family_.expectations) check(expectation);
    if (family_.translate != nullptr) {
      family_.translate(config_, [this](std::string_view gguf, MetadataValue value, std::string_view name) {
        insert(gguf, std::move(value), config_.full_key(name));
      });
    }
    return std::move(metadata_);
  }

 private:
  std::string gguf_key(std::string_view suffix) const {
    return fmt::format("{}.{}", family_.architecture, suffix);
  }

  void insert(std::string_view gguf, MetadataValue value, std::string_view name) {
    metadata_.set_name_in_file(gguf_key(gguf), std::string(name));
    metadata_.insert(gguf_key(gguf), std::move(value));
  }

  void translate(const HfKey& key) {
    metadata_.set_name_in_file(gguf_key(key.gguf), config_.full_key(key.name));
    std::optional<MetadataValue> value;
    if (key.kind == Kind::kInteger) {
      if (const auto number = config_.integer(key.name)) value = *number;
    } else if (key.kind == Kind::kReal) {
      if (const auto number = config_.real(key.name)) value = *number;
    } else if (const auto flag = config_.boolean(key.name)) {
      value = *flag;
    }
    if (!value && !key.fallback.empty()) {
      const json::value fallback = json::parse(key.fallback);
      value = key.kind == Kind::kBoolean ? MetadataValue(fallback.get_bool())
                                         : MetadataValue(fallback.get_int64());
    }
    if (value) metadata_.insert(gguf_key(key.gguf), *std::move(value));
  }

  void translate_rope() {
    insert("rope.freq_base", rope_theta(config_, family_), config_.full_key("rope_theta"));
    const auto rope = rope_parameters(config_);
    translate_rotated_part(rope);
    if (!rope) return;
    const std::string_view type_key = rope_type_key(*rope);
    const std::string type = rope->string(type_key).value_or("default");
    if (type == "default") return;
    if (type == kLlama3Rope && family_.architecture == "llama") return;  // the tensor says it
    for (const auto& [key, value] : rope->fields()) check_rope_key(*rope, key);
    if (rope->boolean("truncate").value_or(true) != family_.truncates_yarn && type == "yarn") {
      rope->fail_unsupported("truncate",
                             fmt::format("is {}; only {} is supported for model type '{}'",
                                         family_.truncates_yarn ? "false" : "true or missing",
                                         family_.truncates_yarn ? "true" : "false", family_.model_type));
    }
    insert("rope.scaling.type", type, rope->full_key(type_key));
    if (const auto factor = rope->real("factor"))
      insert("rope.scaling.factor", *factor, rope->full_key("factor"));
    if (const auto n = rope->integer("original_max_position_embeddings")) {
      insert("rope.scaling.original_context_length", *n, rope->full_key("original_max_position_embeddings"));
    }
  }

  /// rope.dimension_count, of which config.json has the share, in one of two places, or the number.
  void translate_rotated_part(const std::optional<JsonObject>& rope) {
    constexpr std::string_view kShare = "partial_rotary_factor";
    const JsonObject& place = rope && rope->contains(kShare) ? *rope : config_;
    const auto share = place.real(kShare);
    if (family_.partial_rotary_factor == 0) {
      if (share.value_or(1) != 1) {
        place.fail_unsupported(kShare, fmt::format("is {}; only 1 is supported for model type '{}'", *share,
                                                   family_.model_type));
      }
      return;
    }
    if (const auto n_dims = config_.integer("rotary_dim"))
      return insert("rope.dimension_count", *n_dims, config_.full_key("rotary_dim"));
    const double wanted = share.value_or(family_.partial_rotary_factor);
    if (!(wanted > 0 && wanted <= 1))
      place.fail_corrupt(kShare, fmt::format("is {}, allowed is above 0 up to 1", wanted));
    // The reader of the configuration refuses what is no sensible head.
    int64_t head_dim = metadata_.integer_or(gguf_key("attention.key_length"), 0).value();
    if (head_dim == 0) {
      head_dim = metadata_.integer_or(gguf_key("embedding_length"), 0).value() /
                 std::max<int64_t>(1, metadata_.integer_or(gguf_key("attention.head_count"), 1).value());
    }
    const auto n_dims = static_cast<double>(std::clamp<int64_t>(head_dim, 0, 1 << 24)) * wanted;
    insert("rope.dimension_count", static_cast<int64_t>(n_dims), place.full_key(kShare));
  }

  /// What has no place in the metadata must be what the readers of GGUF files take without being told.
  void check_rope_key(const JsonObject& rope, std::string_view key) const {
    for (const std::string_view known :
         {"rope_type", "type", "rope_theta", "factor", "original_max_position_embeddings", "truncate",
          "partial_rotary_factor"}) {
      if (key == known) return;
    }
    constexpr std::pair<std::string_view, double> kDefaults[] = {{"beta_fast", 32}, {"beta_slow", 1}};
    for (const auto& [name, value] : kDefaults) {
      if (key == name && rope.real(key).value_or(value) == value) return;
    }
    // Which of three positions turns a pair; those of text are the same.
    if (key.starts_with("mrope_")) return;
    if (rope.contains(key)) rope.fail_unsupported(key, "is not supported for this kind of scaling");
  }

  void check(const HfExpectation& expectation) const {
    const json::value* value = config_.find(expectation.name);
    if (value == nullptr || *value == json::parse(expectation.value)) return;
    config_.fail_unsupported(expectation.name, fmt::format("is {}; only {} is supported for model type '{}'",
                                                           printable(json::serialize(*value)),
                                                           expectation.value, family_.model_type));
  }

  const JsonObject& config_;
  const HfFamily& family_;
  Metadata metadata_;
};

}  // namespace

JsonObject text_config(const JsonObject& config) { return config.object("text_config").value_or(config); }

std::optional<JsonObject> rope_parameters(const JsonObject& config) {
  auto rope = config.object("rope_parameters");
  return rope ? rope : config.object("rope_scaling");
}

void check_layer_types(const JsonObject& config, int64_t interval, std::string_view full,
                       std::string_view other) {
  const auto types = config.array("layer_types");
  for (size_t i = 0; i < types.size(); ++i) {
    const std::string_view wanted = (static_cast<int64_t>(i) + 1) % interval == 0 ? full : other;
    if (types[i].is_string() && types[i].get_string() == wanted) continue;
    config.fail_unsupported(
        "layer_types", fmt::format("has {} for layer {}; only '{}' for one layer of {} and '{}' before it "
                                   "is supported",
                                   printable(json::serialize(types[i])), i, full, interval, other));
  }
}

std::vector<float> llama3_rope_divisors(const JsonObject& config, const HfFamily& family, int64_t head_dim) {
  const auto rope = rope_parameters(config);
  if (!rope || rope->string(rope_type_key(*rope)) != kLlama3Rope) return {};
  const auto positive = [&](std::string_view key) {
    const double value = rope->real(key).value_or(0);
    if (!(value > 0 && value <= 1e9)) rope->fail_corrupt(key, fmt::format("is {}, wanted above 0", value));
    return value;
  };
  const double factor = positive("factor"), low = positive("low_freq_factor"),
               high = positive("high_freq_factor");
  const double context = positive("original_max_position_embeddings");
  if (high <= low)
    rope->fail_corrupt("high_freq_factor", fmt::format("is {}, not above the low one {}", high, low));
  // Meta's: wavelengths below context / high stay, those above context / low are stretched by the factor, and
  // between them the frequency is mixed of both.
  std::vector<float> divisors;
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const double wavelength =
        2 * std::numbers::pi *
        std::pow(rope_theta(config, family), 2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    const double share = std::clamp((context / wavelength - low) / (high - low), 0.0, 1.0);
    divisors.push_back(static_cast<float>(1 / ((1 - share) / factor + share)));
  }
  return divisors;
}

Metadata translate_hf_config(const JsonObject& config, const HfFamily& family, std::string model_name) {
  return ConfigTranslator(config, family).translate(std::move(model_name));
}

}  // namespace halod

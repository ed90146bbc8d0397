#include "runtime/weights/hf/hf_families.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "runtime/weights/hf/families/families.h"

namespace halod {
namespace {

const HfFamily* const kFamilies[] = {
    &kGlm4MoeFamily,  &kGptOssFamily,    &kLlamaFamily,        &kMiniMaxM2Family,     &kMistralFamily,
    &kMixtralFamily,  &kNemotronHFamily, &kNemotronHMoeFamily, &kQwen2Family,         &kQwen3Family,
    &kQwen3MoeFamily, &kQwen3NextFamily, &kQwen35MoeFamily,    &kQwen35MoeTextFamily,
};

constexpr std::string_view kLayerPrefix = "model.layers.";
constexpr std::string_view kModelPrefix = "model.";
constexpr std::string_view kBlockPrefix = "blk.";
constexpr std::string_view kExpertsPart = ".experts.";
/// Buffers that some converters write and that halod computes.
constexpr std::string_view kIgnoredSuffix = ".rotary_emb.inv_freq";

/// Takes "12." off the front of `text`.
std::optional<int64_t> take_number(std::string_view& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto n_read = static_cast<size_t>(end - text.data());
  // A leading zero would make a second name of the same tensor.
  if (error != std::errc() || number < 0 || n_read == text.size() || text[n_read] != '.' ||
      (n_read > 1 && text.front() == '0'))
    return std::nullopt;
  text.remove_prefix(n_read + 1);
  return number;
}

/// A name without its layer's and its expert's number.
struct Place {
  std::string block;  ///< "blk.3."; empty outside of the layers
  std::optional<int64_t> expert_idx;
  std::string name;  ///< "mlp.experts.*.up_proj.weight", "model.norm.weight"
};

std::optional<Place> find_place(const HfFamily& family, std::string_view name) {
  Place place;
  std::string within;
  if (family.model_prefix != kModelPrefix && name.starts_with(family.model_prefix)) {
    within = std::string(kModelPrefix).append(name.substr(family.model_prefix.size()));
    name = within;
  }
  if (!name.starts_with(kLayerPrefix)) {
    place.name = name;
    return place;
  }
  name.remove_prefix(kLayerPrefix.size());
  const auto layer_idx = take_number(name);
  if (!layer_idx) return std::nullopt;
  place.block = fmt::format("{}{}.", kBlockPrefix, *layer_idx);
  place.name = name;
  if (const size_t at = name.find(kExpertsPart); at != std::string_view::npos) {
    std::string_view rest = name.substr(at + kExpertsPart.size());
    // Without a number it is all of them.
    place.expert_idx = take_number(rest);
    if (place.expert_idx) place.name = fmt::format("{}{}*.{}", name.substr(0, at), kExpertsPart, rest);
  }
  return place;
}

/// What is behind the module's name: "weight" of "q_proj.weight", "blocks" of "gate_up_proj_blocks".
std::optional<std::string_view> parameter_of(const HfModule& row, std::string_view name) {
  if (!name.starts_with(row.name)) return std::nullopt;
  name.remove_prefix(row.name.size());
  if (row.is_parameter) return name.empty() ? std::optional(name) : std::nullopt;
  if (!row.name.ends_with('_')) {
    if (!name.starts_with('.')) return std::nullopt;
    name.remove_prefix(1);
  }
  if (name.empty()) return std::nullopt;
  // A dot more would be another module's.
  return name.find('.') == std::string_view::npos ? std::optional(name) : std::nullopt;
}

}  // namespace

const HfFamily* find_hf_family(std::string_view model_type, const JsonObject& config) {
  const auto row = std::ranges::find_if(kFamilies, [&](const HfFamily* family) {
    return family->model_type == model_type && (family->describes == nullptr || family->describes(config));
  });
  return row == std::end(kFamilies) ? nullptr : *row;
}

std::string hf_family_names() {
  std::string names;
  std::string_view last;
  for (const HfFamily* family : kFamilies) {
    if (family->model_type == last) continue;
    last = family->model_type;
    names += (names.empty() ? "" : ", ") + std::string(last);
  }
  return names;
}

std::vector<HfTensorName> parse_hf_tensor_name(const HfFamily& family, std::string_view name) {
  std::vector<HfTensorName> parsed;
  const auto place = find_place(family, name);
  if (!place) return parsed;
  for (const std::span<const HfModule>& modules : family.modules) {
    for (const HfModule& row : modules) {
      const auto parameter = parameter_of(row, place->name);
      if (!parameter || (*parameter == "bias" && !row.has_bias)) continue;
      // "model.norm" stands outside of the layers, "input_layernorm" in one.
      const bool is_outside = row.name.starts_with(kModelPrefix) || row.name == "lm_head";
      if (is_outside != place->block.empty()) continue;
      HfTensorName made{.gguf_stem = place->block + std::string(row.gguf),
                        .expert_idx = place->expert_idx,
                        .parameter = std::string(*parameter),
                        .form = row.form};
      // "mlp.gate.e_score_correction_bias" by its own name is not a parameter of "mlp.gate".
      if (row.is_parameter) return {std::move(made)};
      parsed.push_back(std::move(made));
    }
  }
  return parsed;
}

std::string hf_tensor_name(const HfFamily& family, std::string_view gguf_name) {
  std::string_view rest = gguf_name;
  std::string layer;
  if (rest.starts_with(kBlockPrefix)) {
    rest.remove_prefix(kBlockPrefix.size());
    const auto layer_idx = take_number(rest);
    if (!layer_idx) return std::string(gguf_name);
    layer = fmt::format("{}layers.{}.", family.model_prefix, *layer_idx);
  }
  const size_t dot = rest.rfind('.');
  for (const std::span<const HfModule>& modules : family.modules) {
    for (const HfModule& row : modules) {
      if (row.is_parameter ? row.gguf != rest
                           : dot == std::string_view::npos || row.gguf != rest.substr(0, dot))
        continue;
      std::string module(row.name);
      if (const size_t star = module.find('*'); star != std::string::npos) module.replace(star, 1, "0");
      if (layer.empty() && module.starts_with(kModelPrefix))
        module.replace(0, kModelPrefix.size(), family.model_prefix);
      if (row.is_parameter) return layer + module;
      if (!module.ends_with('_')) return fmt::format("{}{}{}", layer, module, rest.substr(dot));
      return fmt::format("{}{}{}", layer, module,
                         rest.ends_with(".weight") ? "blocks" : rest.substr(dot + 1));
    }
  }
  return std::string(gguf_name);
}

bool is_ignored_hf_tensor(const HfFamily& family, std::string_view name) {
  return name.ends_with(kIgnoredSuffix) || std::ranges::any_of(family.ignored, [&](std::string_view prefix) {
           return name.starts_with(prefix);
         });
}

}  // namespace halod

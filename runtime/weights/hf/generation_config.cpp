#include "runtime/weights/hf/generation_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <vector>

namespace halod {

namespace json = boost::json;

void add_ends_of_generation(const std::optional<JsonObject>& config, TokenizerData& data) {
  const json::value* value = config ? config->find("eos_token_id") : nullptr;
  if (value == nullptr) return;
  std::vector<int64_t> ids;
  if (value->is_array()) {
    for (const json::value& id : value->get_array()) {
      if (!id.is_int64()) config->fail_corrupt("eos_token_id", "holds what is no integer");
      ids.push_back(id.get_int64());
    }
  } else {
    ids.push_back(*config->integer("eos_token_id"));
  }
  for (const int64_t id : ids) {
    if (id < 0 || id >= static_cast<int64_t>(data.tokens.size())) {
      config->fail_corrupt("eos_token_id",
                           fmt::format("is {}, but tokenizer.json has {} tokens", id, data.tokens.size()));
    }
    const auto token = static_cast<TokenId>(id);
    if (std::ranges::find(data.end_of_generation, token) == data.end_of_generation.end())
      data.end_of_generation.push_back(token);
    if (!data.eos) data.eos = token;
  }
}

SamplingDefaults read_sampling_defaults(const JsonObject& config) {
  const auto number = [&](std::string_view key, bool has_zero, double max, bool has_max) {
    const auto value = config.real(key);
    const bool is_allowed =
        !value || ((has_zero ? *value >= 0 : *value > 0) && (has_max ? *value <= max : *value < max));
    if (!is_allowed) {
      config.fail_corrupt(key, fmt::format("is {}, allowed is from {}0 to {}{}", *value,
                                           has_zero ? "" : "above ", has_max ? "" : "below ", max));
    }
    return value;
  };
  SamplingDefaults defaults{.temperature = number("temperature", true, 2, true),
                            .top_p = number("top_p", false, 1, true),
                            .min_p = number("min_p", true, 1, false),
                            .repetition_penalty = number("repetition_penalty", false, 10, true),
                            .top_k = config.integer("top_k")};
  constexpr int64_t kMaxTopK = 1 << 20;
  // -1 is others' way to switch it off.
  if (defaults.top_k && (*defaults.top_k < -1 || *defaults.top_k > kMaxTopK))
    config.fail_corrupt("top_k", fmt::format("is {}, allowed are 0 to {}", *defaults.top_k, kMaxTopK));
  if (defaults.top_k) defaults.top_k = std::max<int64_t>(0, *defaults.top_k);
  return defaults;
}

}  // namespace halod

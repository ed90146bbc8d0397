// The fields that chats and completions share.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "daemon/http/openai_request.h"

namespace halod {
namespace {

namespace json = boost::json;

constexpr int64_t kMaxTokens = std::numeric_limits<int32_t>::max();
constexpr size_t kMaxLogitBiases = 4096;

struct SamplingField {
  std::string_view name;
  NumberRange range;
  float SamplingParams::*value;
  double DefaultsConfig::*fallback;
};

constexpr std::array kSamplingFields{
    SamplingField{"temperature", {.max = 2}, &SamplingParams::temperature, &DefaultsConfig::temperature},
    SamplingField{
        "top_p", {.max = 1, .min_is_exclusive = true}, &SamplingParams::top_p, &DefaultsConfig::top_p},
    SamplingField{
        "min_p", {.max = 1, .max_is_exclusive = true}, &SamplingParams::min_p, &DefaultsConfig::min_p},
    SamplingField{"repetition_penalty",
                  {.max = 10, .min_is_exclusive = true},
                  &SamplingParams::repetition_penalty,
                  &DefaultsConfig::repetition_penalty},
    SamplingField{"presence_penalty",
                  {.min = -2, .max = 2},
                  &SamplingParams::presence_penalty,
                  &DefaultsConfig::presence_penalty},
    SamplingField{"frequency_penalty",
                  {.min = -2, .max = 2},
                  &SamplingParams::frequency_penalty,
                  &DefaultsConfig::frequency_penalty},
};

std::vector<LogitBias> read_logit_bias(FieldReader& reader) {
  std::vector<LogitBias> biases;
  const json::object* object = reader.object("logit_bias");
  if (!object) return biases;
  if (object->size() > kMaxLogitBiases) {
    reader.fail("logit_bias",
                fmt::format("has {} entries; at most {} are taken", object->size(), kMaxLogitBiases));
  }
  FieldReader entries(*object, reader.path_of("logit_bias"));
  for (const auto& entry : *object) {
    const std::string_view key = entry.key();
    int32_t token_id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token_id);
    if (error != std::errc() || end != key.data() + key.size() || token_id < 0) {
      reader.fail("logit_bias", fmt::format("has the key '{}'; its keys are token ids", key));
    }
    const std::optional<double> bias = entries.number(key, {.min = -100, .max = 100});
    if (bias) biases.push_back({token_id, static_cast<float>(*bias)});
  }
  reader.adopt(entries);
  return biases;
}

uint32_t read_max_tokens(FieldReader& reader) {
  const auto newer = reader.integer("max_completion_tokens", 1, kMaxTokens);
  const auto older = reader.integer("max_tokens", 1, kMaxTokens);
  return static_cast<uint32_t>(newer.value_or(older.value_or(0)));
}

}  // namespace

AnswerRequest read_answer_request(FieldReader& reader, const DefaultsConfig& defaults) {
  AnswerRequest request;
  for (const SamplingField& field : kSamplingFields) {
    request.sampling.*field.value =
        static_cast<float>(reader.number(field.name, field.range).value_or(defaults.*field.fallback));
  }
  // A number that is above zero in JSON and zero as a float would pass the range and fail in the sampler.
  if (request.sampling.top_p <= 0) reader.fail("top_p", "is too small; it takes a number from above 0 to 1");
  if (request.sampling.repetition_penalty <= 0)
    reader.fail("repetition_penalty", "is too small; it takes a number from above 0 to 10");
  // -1 is vLLM's and others' way to switch it off.
  request.sampling.top_k = static_cast<int32_t>(
      std::max<int64_t>(0, reader.integer("top_k", -1, kMaxTokens).value_or(defaults.top_k)));
  request.sampling.logit_bias = read_logit_bias(reader);
  const auto seed =
      reader.integer("seed", std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max());
  if (seed) request.seed = static_cast<uint64_t>(*seed);
  request.n = static_cast<uint32_t>(reader.integer("n", 1, kMaxChoices).value_or(1));
  request.max_tokens = read_max_tokens(reader);
  request.stop = reader.strings("stop", kMaxStopStrings);
  request.ignore_eos = reader.boolean("ignore_eos").value_or(false);
  request.stream = reader.boolean("stream").value_or(false);
  if (const json::object* options = reader.object("stream_options")) {
    FieldReader option_reader(*options, reader.path_of("stream_options"));
    request.include_usage = option_reader.boolean("include_usage").value_or(false);
    reader.adopt(option_reader);
  }
  reader.string("user");
  return request;
}

}  // namespace halod

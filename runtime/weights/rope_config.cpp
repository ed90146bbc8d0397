#include "runtime/weights/rope_config.h"

#include <fmt/format.h>

#include "runtime/weights/gguf_reader.h"

namespace halod {
namespace {

constexpr double kMaxFactor = 1e6;

/// Files from before rope.scaling.type existed have the factor alone.
RopeScaling read_scaling(const ConfigKeys& keys, float factor) {
  const std::string type = keys.string_or("rope.scaling.type", "linear");
  if (type == "none") return RopeScaling::kNone;
  if (type == "linear") return factor == 1 ? RopeScaling::kNone : RopeScaling::kLinear;
  if (type == "yarn") return RopeScaling::kYarn;
  keys.fail_unsupported(keys.key("rope.scaling.type"),
                        fmt::format("is '{}'; supported are none, linear and yarn", printable(type)));
}

}  // namespace

RopeConfig read_rope_config(const ConfigKeys& keys, const RopeTraits& traits, int64_t head_dim) {
  RopeConfig rope{.pairing = traits.pairing, .rounds_correction_range = traits.rounds_correction_range};
  if (traits.may_be_partial) {
    rope.n_dims = keys.count_or("rope.dimension_count", head_dim);
    if (rope.n_dims < 2 || rope.n_dims > head_dim || rope.n_dims % 2 != 0) {
      keys.fail_corrupt(
          keys.key("rope.dimension_count"),
          fmt::format("is {}; it takes an even number up to the {} of a head", rope.n_dims, head_dim));
    }
  } else {
    keys.only("rope.dimension_count", head_dim,
              "rotary embedding over part of a head is not supported for this architecture");
    rope.n_dims = head_dim;
  }
  const char* factor_key = keys.has("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear";
  // Converters write 0 for "none".
  rope.factor = static_cast<float>(keys.number_or(factor_key, 1.0));
  if (rope.factor == 0) rope.factor = 1;
  if (!(rope.factor > 0 && rope.factor <= kMaxFactor)) {
    keys.fail_corrupt(keys.key(factor_key),
                      fmt::format("is {}, allowed are 0 to {}", rope.factor, kMaxFactor));
  }
  rope.scaling = read_scaling(keys, rope.factor);
  if (rope.scaling == RopeScaling::kYarn) {
    rope.original_context_length = keys.count("rope.scaling.original_context_length", int64_t{1} << 30);
    rope.beta_fast = keys.positive_number_or("rope.scaling.yarn_beta_fast", rope.beta_fast, 1e6);
    rope.beta_slow = keys.positive_number_or("rope.scaling.yarn_beta_slow", rope.beta_slow, 1e6);
    constexpr const char* kReason = "only the usual YaRN is supported";
    keys.only_number("rope.scaling.yarn_ext_factor", 1, kReason);
    keys.only_number("rope.scaling.yarn_attn_factor", 1, kReason);
    keys.only_number("rope.scaling.yarn_log_multiplier", 0, kReason);
  }
  keys.only_number("rope.scaling.attn_factor", 1, "another magnitude of rotated values is not supported");
  return rope;
}

}  // namespace halod

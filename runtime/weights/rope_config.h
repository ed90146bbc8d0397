// The rotary embedding of a model, as its metadata describes it.
#pragma once

#include "runtime/weights/config_keys.h"
#include "runtime/weights/model_config.h"

namespace halod {

/// What the architecture says and the file does not.
struct RopeTraits {
  RopePairing pairing = RopePairing::kHalves;
  bool may_be_partial = false;          ///< rope.dimension_count may be less than head_dim
  bool rounds_correction_range = true;  ///< of YaRN: Hugging Face's "truncate", which GGUF has no key for
};

/// Throws ErrorException: kCorruptFile, or kUnsupported for a kind of scaling that would be computed wrongly.
RopeConfig read_rope_config(const ConfigKeys& keys, const RopeTraits& traits, int64_t head_dim);

}  // namespace halod

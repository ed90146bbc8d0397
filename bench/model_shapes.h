// The shapes that synthetic models can have: real ones for measurements, tiny ones for tests.
#pragma once

#include <span>
#include <string_view>

#include "runtime/weights/model_config.h"

namespace halod {

struct ModelShape {
  std::string_view name;         ///< "30b-a3b"
  ModelConfig config;            ///< n_layers: as the real model has; mixers: one period, attention last
  int64_t default_layers = 0;    ///< what a synthetic one gets when nobody says
  bool has_tied_output = false;  ///< no output.weight: the embedding serves
};

/// All shapes. Thread: any.
std::span<const ModelShape> model_shapes();
/// nullptr when there is none of that name.
const ModelShape* find_model_shape(std::string_view name);

}  // namespace halod

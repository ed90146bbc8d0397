// Recurrent layers of a model, as its metadata describes them.
#pragma once

#include "runtime/weights/config_keys.h"
#include "runtime/weights/model_config.h"

namespace halod {

/// Both throw ErrorException: kCorruptFile, or kUnsupported for extents that no kernel takes.
RecurrentConfig read_gated_delta_net_config(const ConfigKeys& keys);
RecurrentConfig read_mamba2_config(const ConfigKeys& keys);

}  // namespace halod

// Loads a model of whichever architecture its file names.
#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "runtime/models/architectures.h"
#include "runtime/models/model.h"
#include "runtime/models/model_features.h"
#include "runtime/models/tensor_loader.h"

namespace halod {
namespace {

const Architecture* find_architecture(std::string_view name) {
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.name == name) return &architecture;
  }
  return nullptr;
}

}  // namespace

Result<std::unique_ptr<Model>> load_model(const Checkpoint& file, Backend& backend,
                                          const ModelOptions& options, const LoadCallbacks& callbacks) {
  HALOD_ASSERT(options.n_kv_pages > 0 && options.max_batch_tokens > 0 && options.max_logit_rows > 0);
  auto config = read_model_config(file);
  if (!config) return config.error();
  const Architecture* architecture = find_architecture(config->architecture);
  if (architecture == nullptr) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("{}: architecture '{}' is not one that halod runs", file.path().string(),
                             config->architecture),
                 "general.architecture"};
  }
  if (const auto checked = check_features(*config, backend); !checked) return checked.error();
  try {
    TensorLoader loader(file, backend, callbacks);
    return std::unique_ptr<Model>(
        std::make_unique<DecoderModel>(loader, std::move(*config), options, architecture->make_layer));
  } catch (const ErrorException& failure) {
    return failure.error();
  }
}

uint64_t kv_page_bytes(const ModelConfig& config, const Backend& backend) {
  return backend.kv_page_bytes(kv_shape(config));
}

KvShape kv_shape(const ModelConfig& config) {
  return {config.n_layers_with(Mixer::kAttention), config.n_kv_heads, config.head_dim};
}

RecurrentShape recurrent_shape(const ModelConfig& config) {
  const RecurrentConfig& recurrent = config.recurrent;
  return {.n_layers = config.n_recurrent_layers(),
          .conv_channels = recurrent.conv_channels(),
          .conv_kernel = recurrent.conv_kernel,
          .n_heads = recurrent.n_value_heads,
          .head_dim = recurrent.head_dim,
          .key_dim = recurrent.key_dim};
}

}  // namespace halod

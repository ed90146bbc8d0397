// Which models there are: those that the configuration names, and those that lie in its folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "daemon/config/config.h"

namespace halod {

/// One model that could be loaded.
struct ModelSpec {
  std::string name;
  std::filesystem::path path;  ///< absolute; the first part of a split file, or a folder
  ModelEntryConfig config;     ///< what was configured for it; for a file that was found, the defaults

  friend bool operator==(const ModelSpec&, const ModelSpec&) = default;
};

/// "models/Qwen3-30B-00001-of-00002.gguf" → "Qwen3-30B", "models/Qwen3-0.6B" → "Qwen3-0.6B"; in the cache of
/// Hugging Face's programs, the repository's name. Thread: any.
std::string model_name_from(const std::filesystem::path& file);

/// The configured ones in their order, then what the folder holds by name; a name that is taken is not taken
/// again. When that is nothing at all, the bundled model, so that a fresh installation answers. A folder that
/// cannot be read is an error, one that is not configured is not. Blocks on the disk.
/// Errors: kInvalidArgument for a name or alias that two entries of the configuration share; kIo.
Result<std::vector<ModelSpec>> find_models(const ModelsConfig& config);

/// What a model file says of itself.
struct ModelFileInfo {
  std::string architecture;
  std::string quantization;    ///< the format that most weight bytes are in: "Q4_K"
  uint64_t size_bytes = 0;     ///< of the weights
  int64_t context_length = 0;  ///< that it was trained for
  int64_t n_parameters = 0;
};

/// Reads the headers of its files. Blocks on the disk. Errors: those of open_checkpoint. Thread: any.
Result<ModelFileInfo> read_model_file_info(const std::filesystem::path& path);

}  // namespace halod

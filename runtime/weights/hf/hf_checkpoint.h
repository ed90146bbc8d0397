// A model's folder as Hugging Face publishes it (docs/formats/safetensors.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "runtime/weights/checkpoint.h"
#include "runtime/weights/hf/hf_families.h"
#include "runtime/weights/hf/safetensors_files.h"
#include "runtime/weights/hf/tensor_source.h"

namespace halod {

/// config.json in GGUF's words, the weights under GGUF's names; experts that have a tensor each are one
/// stack. TensorInfo::file_idx is the tensor's source, the offset is 0. Thread: const methods from any
/// thread.
class HfCheckpoint final : public Checkpoint {
 public:
  /// Whether the folder is one to open: it has a config.json, and weights as safetensors.
  static bool is_model(const std::filesystem::path& folder);

  /// Reads config.json and the headers of the weight files. Every tensor of the files must be one that the
  /// family has. Errors: kNotFound, kIo, kCorruptFile (naming file and key or tensor), kUnsupported (model
  /// type, quantisation, tensors that no layer of this family reads).
  static Result<HfCheckpoint> open(const std::filesystem::path& folder);
  /// The same for looking only: an unknown model type is no error, its tensors stand under their own names.
  static Result<HfCheckpoint> open_to_inspect(const std::filesystem::path& folder);

  uint64_t file_bytes() const override { return files_->file_bytes(); }
  /// From tokenizer.json, tokenizer_config.json, generation_config.json and chat_template.jinja.
  Result<TokenizerData> tokenizer_data() const override;
  std::string name_in_files(std::string_view tensor_name) const override;

  Result<> read(const TensorInfo& tensor, uint64_t byte_offset, std::span<std::byte> out) const override;
  Result<std::vector<int32_t>> column_order(const TensorInfo& tensor) const override;
  void prefetch(const TensorInfo& tensor, uint64_t byte_offset, uint64_t n_bytes) const override;

 private:
  explicit HfCheckpoint(std::filesystem::path folder) : Checkpoint(std::move(folder)) {}

  void add_tensors(const JsonObject& config);
  void add_source(const std::string& name, std::unique_ptr<const TensorSource> source);
  void add_tensors_as_they_are();

  const HfFamily* family_ = nullptr;  // null: a type that halod does not know, opened to look at it
  std::unique_ptr<const SafetensorsFiles> files_;
  std::vector<std::unique_ptr<const TensorSource>> sources_;  // by TensorInfo::file_idx
};

}  // namespace halod

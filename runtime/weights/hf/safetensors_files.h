// The weight files of a model's folder: model.safetensors, or the shards that an index names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "runtime/weights/hf/safetensors_parser.h"
#include "runtime/weights/open_file.h"

namespace halod {

inline constexpr std::string_view kSafetensorsName = "model.safetensors";
inline constexpr std::string_view kSafetensorsIndexName = "model.safetensors.index.json";

/// Thread: const methods from any thread.
class SafetensorsFiles {
 public:
  /// Opens model.safetensors; where there is none, every shard of model.safetensors.index.json. Checks that
  /// each name of the index is in the shard that it says, and no name in two. Errors: kNotFound naming what
  /// is missing, kCorruptFile naming file and tensor, kIo.
  static Result<SafetensorsFiles> open(const std::filesystem::path& folder);

  std::span<const SafetensorsTensor> tensors() const { return tensors_; }
  /// nullptr when there is none of that name.
  const SafetensorsTensor* find(std::string_view name) const;
  const OpenFile& file_of(const SafetensorsTensor& tensor) const { return *files_[tensor.file_idx]; }
  uint64_t file_bytes() const;

  /// "<file>: tensor '<name>' <problem>", field = name.
  Error error_at(const SafetensorsTensor& tensor, ErrorCode code, std::string_view problem) const;
  /// Throws ErrorException: kCorruptFile for another shape, kUnsupported for a dtype that `dtypes` does not
  /// name.
  void require(const SafetensorsTensor& tensor, std::string_view dtypes,
               const std::vector<int64_t>& shape) const;

  /// Fills `out` from `byte_offset` within the tensor. REQUIRES: the range lies inside it. Errors: as
  /// OpenFile::read_exactly.
  Result<> read(const SafetensorsTensor& tensor, uint64_t byte_offset, std::span<std::byte> out) const;

 private:
  void add(const std::filesystem::path& path);
  void add_shards(const std::filesystem::path& folder);

  std::vector<SafetensorsTensor> tensors_;
  std::map<std::string, size_t, std::less<>> tensor_idx_by_name_;
  std::vector<std::shared_ptr<const OpenFile>> files_;  // by SafetensorsTensor::file_idx
};

}  // namespace halod

// Reader for GGUF v2 and v3 files, split ones included (docs/formats/gguf.md has the byte layout).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "runtime/weights/tensor_info.h"

namespace halod {

class OpenFile;

/// A metadata value. All integers are kept as int64_t (uint64_t only beyond its range), all floats as double,
/// so that readers do not care which width a converter chose.
using MetadataArray =
    std::variant<std::vector<int64_t>, std::vector<double>, std::vector<std::string>, std::vector<bool>>;
using MetadataValue = std::variant<bool, int64_t, uint64_t, double, std::string, MetadataArray>;

/// The key/value part of a model file. Getters name file, key, wanted and found type in their errors.
class Metadata {
 public:
  explicit Metadata(std::string file_name = {}) : file_name_(std::move(file_name)) {}
  /// REQUIRES: the key is new.
  void insert(std::string key, MetadataValue value);

  bool contains(std::string_view key) const { return find(key) != nullptr; }
  const MetadataValue* find(std::string_view key) const;
  const std::string& file_name() const { return file_name_; }
  const std::map<std::string, MetadataValue, std::less<>>& values() const { return values_; }

  /// Required keys: kCorruptFile when absent, of another type, or out of the target's range.
  Result<int64_t> integer(std::string_view key) const;
  Result<double> real(std::string_view key) const;  ///< integers convert
  Result<std::string> string(std::string_view key) const;
  Result<bool> boolean(std::string_view key) const;
  /// Borrowed from this object.
  Result<std::span<const std::string>> strings(std::string_view key) const;
  Result<std::span<const int64_t>> integers(std::string_view key) const;
  Result<std::span<const double>> reals(std::string_view key) const;

  /// Optional keys: the fallback only when the key is absent; a wrong type is still an error.
  Result<int64_t> integer_or(std::string_view key, int64_t fallback) const;
  Result<double> real_or(std::string_view key, double fallback) const;
  Result<std::string> string_or(std::string_view key, std::string fallback) const;
  Result<bool> boolean_or(std::string_view key, bool fallback) const;

 private:
  std::string file_name_;
  std::map<std::string, MetadataValue, std::less<>> values_;
};

/// An open model: metadata, the tensor table of all parts, and positioned reads.
/// Nothing of the tensor data is read or mapped until read() is called. Thread: const methods from any
/// thread.
class GgufFile {
 public:
  /// Opens `path`; for "…-00001-of-0000N.gguf" the other parts beside it too. Checks magic, version, every
  /// count and string against the file's size before allocating, types, alignment, names (unique), shapes
  /// (products that overflow), offsets and sizes (inside the file, not overlapping). Errors: kNotFound, kIo,
  /// kCorruptFile (names the file and the field), kUnsupported (big-endian, version 1, unknown tensor type).
  static Result<GgufFile> open(const std::filesystem::path& path);
  /// The same for looking only: formats that halod does not read are no error but listed.
  static Result<GgufFile> open_to_inspect(const std::filesystem::path& path);

  const Metadata& metadata() const { return metadata_; }
  std::span<const TensorInfo> tensors() const { return tensors_; }
  /// nullptr when there is none of that name. The pointer lives as long as this object.
  const TensorInfo* find_tensor(std::string_view name) const;
  uint64_t total_tensor_bytes() const;
  /// Tensors that tensors() lacks. Empty but for a file opened by open_to_inspect().
  std::span<const UnsupportedTensor> unsupported_tensors() const { return unsupported_; }
  /// kUnsupported when there are any: each format by its name, with the tensors that have it.
  Result<> check_formats() const;
  /// Of all parts, as they lie on the disk.
  uint64_t file_bytes() const;
  const std::filesystem::path& path() const { return path_; }

  /// Reads `out.size()` bytes of the tensor's data from `byte_offset` within it, by pread: pages are not
  /// mapped, so they never count as this process's memory. REQUIRES: the range lies inside the tensor.
  /// Errors: kIo / kCorruptFile when the file changed or was truncated since it was opened.
  Result<> read(const TensorInfo& tensor, uint64_t byte_offset, std::span<std::byte> out) const;
  /// Asks the system to read these bytes ahead of read(). They may lie past the tensor's end, because the
  /// tensors of a file are mostly wanted one after the other. Does not wait, cannot fail.
  void prefetch(const TensorInfo& tensor, uint64_t byte_offset, uint64_t n_bytes) const;

 private:
  GgufFile() = default;

  std::filesystem::path path_;
  Metadata metadata_;
  std::vector<TensorInfo> tensors_;
  std::vector<UnsupportedTensor> unsupported_;
  std::map<std::string, size_t, std::less<>> tensor_idx_by_name_;
  std::vector<std::shared_ptr<const OpenFile>> files_;  // by TensorInfo::file_idx
};

}  // namespace halod

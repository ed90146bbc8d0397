// A model on disk: what it is, its tensors by name, and positioned reads of them.
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
#include "runtime/weights/metadata.h"
#include "runtime/weights/tensor_info.h"
#include "runtime/weights/tokenizer_data.h"

namespace halod {

/// Everything that loads, plans or describes a model reads it through this. Metadata keys and tensor names
/// are GGUF's, which kinds of files without them translate theirs into. Nothing of the tensor data is read or
/// mapped until read() is called. Thread: const methods from any thread.
class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  /// What was opened.
  const std::filesystem::path& path() const { return path_; }
  const Metadata& metadata() const { return metadata_; }
  std::span<const TensorInfo> tensors() const { return tensors_; }
  /// nullptr when there is none of that name. The pointer lives as long as this object.
  const TensorInfo* find_tensor(std::string_view name) const;
  /// As placed: in the tensors' formats.
  uint64_t total_tensor_bytes() const;
  /// Tensors that tensors() lacks. Empty but for what was opened to inspect it.
  std::span<const UnsupportedTensor> unsupported_tensors() const { return unsupported_; }
  /// kUnsupported when there are any: each format by its name, with the tensors that have it.
  Result<> check_formats() const;

  /// What the files call the tensor, whether they have it or not; for messages.
  virtual std::string name_in_files(std::string_view tensor_name) const { return std::string(tensor_name); }
  /// Of all files, as they lie on the disk.
  virtual uint64_t file_bytes() const = 0;
  /// Tokenizer and chat template. Errors: kCorruptFile / kUnsupported naming file and key.
  virtual Result<TokenizerData> tokenizer_data() const = 0;

  /// Fills `out` with the tensor's data from `byte_offset` within it: rows in the tensor's format, whichever
  /// way the file keeps them. By pread: pages are not mapped, so they never count as this process's memory.
  /// REQUIRES: the tensor is one of tensors(); the range lies inside it and is made of whole rows where the
  /// file keeps them in another way. Errors: kIo / kCorruptFile when the file changed or was truncated since
  /// it was opened, or holds what it must not.
  virtual Result<> read(const TensorInfo& tensor, uint64_t byte_offset, std::span<std::byte> out) const = 0;
  /// For each column of a tensor that has_column_order which of the inputs it is multiplied with, [n_experts
  /// * cols], every expert's a permutation; empty for other tensors. Errors: as read().
  virtual Result<std::vector<int32_t>> column_order(const TensorInfo& /*tensor*/) const {
    return std::vector<int32_t>();
  }
  /// Asks the system to read these bytes ahead of read(). They may lie past the tensor's end, because the
  /// tensors of a file are mostly wanted one after the other. Does not wait, cannot fail.
  virtual void prefetch(const TensorInfo& tensor, uint64_t byte_offset, uint64_t n_bytes) const = 0;

 protected:
  explicit Checkpoint(std::filesystem::path path) : path_(std::move(path)) {}
  Checkpoint(Checkpoint&&) = default;
  Checkpoint& operator=(Checkpoint&&) = default;

  /// False, and nothing is added, when there is one of that name.
  bool add_tensor(TensorInfo tensor);

  std::filesystem::path path_;
  Metadata metadata_;
  std::vector<UnsupportedTensor> unsupported_;

 private:
  std::vector<TensorInfo> tensors_;
  std::map<std::string, size_t, std::less<>> tensor_idx_by_name_;
};

/// Opens a GGUF file, or a folder as Hugging Face publishes models. Errors: those of GgufFile::open and
/// HfCheckpoint::open. Blocks on the disk. Thread: any.
Result<std::unique_ptr<const Checkpoint>> open_checkpoint(const std::filesystem::path& path);
/// The same for looking only: formats that halod does not read are no error but listed.
Result<std::unique_ptr<const Checkpoint>> open_checkpoint_to_inspect(const std::filesystem::path& path);

}  // namespace halod

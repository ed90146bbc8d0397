// Reader for GGUF v2 and v3 files, split ones included (docs/formats/gguf.md has the byte layout).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "base/error.h"
#include "runtime/weights/checkpoint.h"

namespace halod {

class OpenFile;

/// An open model: metadata, the tensor table of all parts, and positioned reads. Thread: const methods from
/// any thread.
class GgufFile final : public Checkpoint {
 public:
  /// Opens `path`; for "…-00001-of-0000N.gguf" the other parts beside it too. Checks magic, version, every
  /// count and string against the file's size before allocating, types, alignment, names (unique), shapes
  /// (products that overflow), offsets and sizes (inside the file, not overlapping). Errors: kNotFound, kIo,
  /// kCorruptFile (names the file and the field), kUnsupported (big-endian, version 1, unknown tensor type).
  static Result<GgufFile> open(const std::filesystem::path& path);
  /// The same for looking only: formats that halod does not read are no error but listed.
  static Result<GgufFile> open_to_inspect(const std::filesystem::path& path);

  uint64_t file_bytes() const override;
  Result<TokenizerData> tokenizer_data() const override { return read_tokenizer_data(metadata()); }
  Result<> read(const TensorInfo& tensor, uint64_t byte_offset, std::span<std::byte> out) const override;
  void prefetch(const TensorInfo& tensor, uint64_t byte_offset, uint64_t n_bytes) const override;

 private:
  using Checkpoint::Checkpoint;

  std::vector<std::shared_ptr<const OpenFile>> files_;  // by TensorInfo::file_idx
};

}  // namespace halod

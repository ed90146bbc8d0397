// Writes GGUF v3 files: synthetic models, test fixtures, the fuzzer's seeds (docs/formats/gguf.md has the
// byte layout).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "runtime/weights/gguf_file.h"

namespace halod {

/// Fills `out` with rows [first_row, first_row + n_rows) of `tensor` in its file format. Called from several
/// threads at once.
using TensorRowsSource = std::function<void(const TensorInfo& tensor, int64_t first_row, int64_t n_rows,
                                            std::span<std::byte> out)>;

/// Bytes of tensor data written so far. Called from several threads, one at a time.
using WriteProgressCallback = std::function<void(uint64_t bytes_done, uint64_t bytes_total)>;

/// Collects metadata and tensors in the order in which they shall stand in the file. Thread: one; write()
/// uses more.
class GgufWriter {
 public:
  static constexpr uint64_t kAlignment = 32;

  /// Integers are written as uint32 where they fit (int64 else), numbers as float32, as other readers expect
  /// them; arrays of integers as int32 (int64 else).
  void add_metadata(std::string key, const MetadataValue& value);
  /// REQUIRES: 1 to 4 extents (outermost first), rows of whole blocks.
  void add_tensor(std::string name, Format format, std::vector<int64_t> shape);

  /// Everything before the tensor data, padded to the alignment.
  std::string header() const;
  /// With offsets from the start of the file.
  std::vector<TensorInfo> tensors() const;
  uint64_t file_bytes() const;

  /// Writes the file with `n_threads` threads, under another name until it is complete. An existing file is
  /// replaced. Errors: kIo naming the path.
  Result<> write(const std::filesystem::path& path, const TensorRowsSource& source, int n_threads,
                 const WriteProgressCallback& progress = {}) const;

 private:
  uint64_t n_key_values_ = 0;
  std::string key_values_;           // encoded
  std::vector<TensorInfo> tensors_;  // offsets from the start of the data section
  uint64_t data_bytes_ = 0;
};

}  // namespace halod

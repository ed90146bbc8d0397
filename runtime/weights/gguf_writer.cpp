#include "runtime/weights/gguf_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <limits>
#include <mutex>
#include <system_error>

#include "base/thread_pool.h"
#include "runtime/weights/gguf_value_type.h"

namespace halod {
namespace {

constexpr uint64_t kMaxChunkBytes = uint64_t{8} << 20;

uint64_t aligned(uint64_t offset) {
  return (offset + GgufWriter::kAlignment - 1) / GgufWriter::kAlignment * GgufWriter::kAlignment;
}

template <class Number>
void append(std::string& out, Number number) {
  out.append(reinterpret_cast<const char*>(&number), sizeof number);
}

void append_string(std::string& out, std::string_view text) {
  append(out, static_cast<uint64_t>(text.size()));
  out += text;
}

void append_type(std::string& out, GgufValueType type) { append(out, static_cast<uint32_t>(type)); }

template <class Narrow>
bool fits(int64_t value) {
  return value >= std::numeric_limits<Narrow>::min() && value <= std::numeric_limits<Narrow>::max();
}

struct ElementsEncoder {
  std::string& out;

  void start(GgufValueType type, size_t n) const {
    append_type(out, type);
    append(out, static_cast<uint64_t>(n));
  }
  void operator()(const std::vector<int64_t>& elements) const {
    const bool is_narrow = std::ranges::all_of(elements, fits<int32_t>);
    start(is_narrow ? GgufValueType::kInt32 : GgufValueType::kInt64, elements.size());
    for (const int64_t element : elements) {
      is_narrow ? append(out, static_cast<int32_t>(element)) : append(out, element);
    }
  }
  void operator()(const std::vector<double>& elements) const {
    start(GgufValueType::kFloat32, elements.size());
    for (const double element : elements) append(out, static_cast<float>(element));
  }
  void operator()(const std::vector<std::string>& elements) const {
    start(GgufValueType::kString, elements.size());
    for (const std::string& element : elements) append_string(out, element);
  }
  void operator()(const std::vector<bool>& elements) const {
    start(GgufValueType::kBool, elements.size());
    for (const bool element : elements) append(out, static_cast<uint8_t>(element));
  }
};

struct ValueEncoder {
  std::string& out;

  void operator()(bool flag) const {
    append_type(out, GgufValueType::kBool);
    append(out, static_cast<uint8_t>(flag));
  }
  void operator()(int64_t number) const {
    if (fits<uint32_t>(number)) {
      append_type(out, GgufValueType::kUint32);
      append(out, static_cast<uint32_t>(number));
    } else {
      append_type(out, GgufValueType::kInt64);
      append(out, number);
    }
  }
  void operator()(uint64_t number) const {
    append_type(out, GgufValueType::kUint64);
    append(out, number);
  }
  void operator()(double number) const {
    append_type(out, GgufValueType::kFloat32);
    append(out, static_cast<float>(number));
  }
  void operator()(const std::string& text) const {
    append_type(out, GgufValueType::kString);
    append_string(out, text);
  }
  void operator()(const MetadataArray& array) const {
    append_type(out, GgufValueType::kArray);
    std::visit(ElementsEncoder{out}, array);
  }
};

/// A descriptor of a file that is removed again unless it was finished.
class OutputFile {
 public:
  static Result<std::unique_ptr<OutputFile>> create(const std::filesystem::path& path) {
    auto unfinished = path;
    unfinished += ".part";
    const int descriptor = ::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (descriptor < 0) return io_error(unfinished, "cannot be created", errno);
    return std::unique_ptr<OutputFile>(new OutputFile(descriptor, path, unfinished));
  }
  ~OutputFile() {
    if (descriptor_ < 0) return;
    ::close(descriptor_);
    ::unlink(unfinished_.c_str());
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  Result<> write(uint64_t offset, std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
      const ssize_t n_written = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n_written < 0 && errno == EINTR) continue;
      if (n_written <= 0) {
        return io_error(unfinished_,
                        fmt::format("writing {} bytes at offset {} failed", bytes.size(), offset), errno);
      }
      offset += static_cast<uint64_t>(n_written);
      bytes = bytes.subspan(static_cast<size_t>(n_written));
    }
    return {};
  }

  Result<> finish(uint64_t size) {
    // The last tensor's padding, and all of a data section without tensors, exist only as a size.
    if (::ftruncate(descriptor_, static_cast<off_t>(size)) != 0)
      return io_error(unfinished_, "cannot be sized", errno);
    if (::close(std::exchange(descriptor_, -1)) != 0) return io_error(unfinished_, "cannot be closed", errno);
    std::error_code error;
    std::filesystem::rename(unfinished_, path_, error);
    if (error) return io_error(path_, "cannot be put in place", error.value());
    return {};
  }

 private:
  OutputFile(int descriptor, std::filesystem::path path, std::filesystem::path unfinished)
      : descriptor_(descriptor), path_(std::move(path)), unfinished_(std::move(unfinished)) {}
  static Error io_error(const std::filesystem::path& path, std::string_view what, int error_number) {
    return {ErrorCode::kIo,
            fmt::format("{}: {}: {}", path.string(), what, std::generic_category().message(error_number))};
  }

  int descriptor_;
  std::filesystem::path path_;
  std::filesystem::path unfinished_;
};

struct Chunk {
  const TensorInfo* tensor;
  int64_t first_row;
  int64_t n_rows;
};

uint64_t row_bytes(const TensorInfo& tensor) {
  return tensor.size_bytes / static_cast<uint64_t>(tensor.rows());
}

std::vector<Chunk> split_into_chunks(std::span<const TensorInfo> tensors) {
  std::vector<Chunk> chunks;
  for (const TensorInfo& tensor : tensors) {
    const auto rows_per_chunk =
        static_cast<int64_t>(std::max<uint64_t>(1, kMaxChunkBytes / row_bytes(tensor)));
    for (int64_t row = 0; row < tensor.rows(); row += rows_per_chunk) {
      chunks.push_back({&tensor, row, std::min(rows_per_chunk, tensor.rows() - row)});
    }
  }
  return chunks;
}

}  // namespace

void GgufWriter::add_metadata(std::string key, const MetadataValue& value) {
  append_string(key_values_, key);
  std::visit(ValueEncoder{key_values_}, value);
  ++n_key_values_;
}

void GgufWriter::add_tensor(std::string name, Format format, std::vector<int64_t> shape) {
  TensorInfo tensor{
      .name = std::move(name), .format = format, .shape = std::move(shape), .offset = data_bytes_};
  HALOD_ASSERT(!tensor.shape.empty() && tensor.shape.size() <= 4);
  HALOD_ASSERT(tensor.n_elements() > 0 && tensor.cols() % traits(format).block_elements == 0);
  tensor.size_bytes = static_cast<uint64_t>(tensor.rows() * traits(format).row_bytes(tensor.cols()));
  data_bytes_ = aligned(data_bytes_ + tensor.size_bytes);
  tensors_.push_back(std::move(tensor));
}

std::string GgufWriter::header() const {
  std::string out = "GGUF";
  append(out, uint32_t{3});
  append(out, static_cast<uint64_t>(tensors_.size()));
  append(out, n_key_values_);
  out += key_values_;
  for (const TensorInfo& tensor : tensors_) {
    append_string(out, tensor.name);
    append(out, static_cast<uint32_t>(tensor.shape.size()));
    for (auto extent = tensor.shape.rbegin(); extent != tensor.shape.rend(); ++extent) append(out, *extent);
    HALOD_ASSERT(traits(tensor.format).ggml_type != kNoGgmlType);
    append(out, traits(tensor.format).ggml_type);
    append(out, tensor.offset);
  }
  out.resize(aligned(out.size()), '\0');
  return out;
}

std::vector<TensorInfo> GgufWriter::tensors() const {
  const uint64_t data_offset = header().size();
  std::vector<TensorInfo> placed = tensors_;
  for (TensorInfo& tensor : placed) tensor.offset += data_offset;
  return placed;
}

uint64_t GgufWriter::file_bytes() const { return header().size() + data_bytes_; }

Result<> GgufWriter::write(const std::filesystem::path& path, const TensorRowsSource& source, int n_threads,
                           const WriteProgressCallback& progress) const {
  auto output = OutputFile::create(path);
  if (!output) return output.error();
  const std::string head = header();
  if (const auto written = (*output)->write(0, std::as_bytes(std::span(head))); !written)
    return written.error();

  const std::vector<TensorInfo> placed = tensors();
  const std::vector<Chunk> chunks = split_into_chunks(placed);
  std::mutex mutex;  // guards first_error, bytes_done and the calls of progress
  std::optional<Error> first_error;
  uint64_t bytes_done = 0;
  std::atomic<bool> has_failed = false;
  const auto write_chunk = [&](const Chunk& chunk, std::vector<std::byte>& buffer) {
    const uint64_t bytes_per_row = row_bytes(*chunk.tensor);
    buffer.resize(static_cast<size_t>(bytes_per_row * static_cast<uint64_t>(chunk.n_rows)));
    source(*chunk.tensor, chunk.first_row, chunk.n_rows, buffer);
    const auto written = (*output)->write(
        chunk.tensor->offset + bytes_per_row * static_cast<uint64_t>(chunk.first_row), buffer);
    const std::lock_guard lock(mutex);
    bytes_done += buffer.size();
    if (progress) progress(bytes_done, data_bytes_);
    if (written || has_failed.exchange(true)) return;
    first_error = written.error();
  };
  ThreadPool pool(n_threads);
  std::vector<std::vector<std::byte>> buffers(static_cast<size_t>(n_threads));
  pool.parallel_for(static_cast<int64_t>(chunks.size()), 1, [&](int64_t begin, int64_t end, int worker_idx) {
    for (int64_t i = begin; i < end && !has_failed; ++i) {
      write_chunk(chunks[static_cast<size_t>(i)], buffers[static_cast<size_t>(worker_idx)]);
    }
  });
  if (first_error) return *first_error;
  return (*output)->finish(head.size() + data_bytes_);
}

}  // namespace halod

#include "runtime/weights/hf/tensor_source.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace halod {
namespace {

std::vector<int64_t> stacked_shape(const std::vector<const SafetensorsTensor*>& experts, bool is_stack) {
  std::vector<int64_t> shape = experts.front()->shape;
  if (is_stack) shape.insert(shape.begin(), static_cast<int64_t>(experts.size()));
  return shape;
}

class FloatSource final : public TensorSource {
 public:
  FloatSource(const SafetensorsFiles& files, std::vector<const SafetensorsTensor*> experts, bool is_stack)
      : TensorSource(format_of_dtype(experts.front()->dtype)->format, stacked_shape(experts, is_stack)),
        files_(files),
        experts_(std::move(experts)),
        expert_bytes_(experts_.front()->size_bytes) {}

  Result<> read(uint64_t byte_offset, std::span<std::byte> out) const override {
    while (!out.empty()) {
      const uint64_t begin = byte_offset % expert_bytes_;
      const size_t n_bytes = static_cast<size_t>(std::min<uint64_t>(out.size(), expert_bytes_ - begin));
      const SafetensorsTensor& expert = *experts_[static_cast<size_t>(byte_offset / expert_bytes_)];
      if (auto read = files_.read(expert, begin, out.first(n_bytes)); !read) return read;
      out = out.subspan(n_bytes);
      byte_offset += n_bytes;
    }
    return {};
  }

  void prefetch(uint64_t byte_offset, uint64_t n_bytes) const override {
    // What lies past a plain tensor's end is the next one of the file; past an expert's, another matrix's.
    const size_t idx = std::min(experts_.size() - 1, static_cast<size_t>(byte_offset / expert_bytes_));
    if (experts_.size() > 1 && byte_offset / expert_bytes_ != idx) return;
    const SafetensorsTensor& expert = *experts_[idx];
    files_.file_of(expert).prefetch(expert.offset + byte_offset - idx * expert_bytes_, n_bytes);
  }

 private:
  const SafetensorsFiles& files_;
  std::vector<const SafetensorsTensor*> experts_;
  uint64_t expert_bytes_;
};

class ComputedSource final : public TensorSource {
 public:
  explicit ComputedSource(std::vector<float> values)
      : TensorSource(Format::kF32, {static_cast<int64_t>(values.size())}), values_(std::move(values)) {}
  Result<> read(uint64_t byte_offset, std::span<std::byte> out) const override {
    std::memcpy(out.data(), std::as_bytes(std::span(values_)).data() + byte_offset, out.size());
    return {};
  }
  void prefetch(uint64_t, uint64_t) const override {}

 private:
  std::vector<float> values_;
};

}  // namespace

std::unique_ptr<const TensorSource> make_computed_source(std::vector<float> values) {
  return std::make_unique<ComputedSource>(std::move(values));
}

ConvertedRows::ConvertedRows(Format format, std::vector<int64_t> shape, int64_t rows, int64_t cols)
    : TensorSource(format, std::move(shape)), rows_(rows), row_bytes_(traits(format).row_bytes(cols)) {}

Result<> ConvertedRows::read(uint64_t byte_offset, std::span<std::byte> out) const {
  const auto row_bytes = static_cast<uint64_t>(row_bytes_);
  HALOD_ASSERT(byte_offset % row_bytes == 0 && out.size() % row_bytes == 0);
  auto row = static_cast<int64_t>(byte_offset / row_bytes);
  auto n_rows = static_cast<int64_t>(out.size() / row_bytes);
  try {
    for (std::byte* to = out.data(); n_rows > 0;) {
      const int64_t first = row % rows_, n = std::min(n_rows, rows_ - first);
      convert(static_cast<size_t>(row / rows_), first, n, to);
      to += n * row_bytes_;
      row += n;
      n_rows -= n;
    }
  } catch (const ErrorException& exception) {
    return exception.error();
  }
  return {};
}

const FormatTraits* format_of_dtype(std::string_view dtype) {
  for (const Format format : {Format::kF32, Format::kF16, Format::kBF16}) {
    if (traits(format).name == dtype) return &traits(format);
  }
  return nullptr;
}

std::unique_ptr<const TensorSource> make_float_source(const SafetensorsFiles& files,
                                                      std::vector<const SafetensorsTensor*> experts,
                                                      bool is_stack) {
  return std::make_unique<FloatSource>(files, std::move(experts), is_stack);
}

}  // namespace halod

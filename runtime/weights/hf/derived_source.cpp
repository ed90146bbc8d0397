#include "runtime/weights/hf/derived_source.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace halod {
namespace {

class NeighbourPairs final : public WrappedSource {
 public:
  NeighbourPairs(std::unique_ptr<const TensorSource> rows, Format format, std::vector<int64_t> shape,
                 int64_t head_dim)
      : WrappedSource(std::move(rows), format, std::move(shape)),
        head_dim_(head_dim),
        row_bytes_(traits(format).row_bytes(this->shape().size() == 1 ? 1 : this->shape().back())) {
    HALOD_ASSERT(this->shape().size() <= 2 && head_dim % 2 == 0 && this->shape().front() % head_dim == 0);
  }

  Result<> read(uint64_t byte_offset, std::span<std::byte> out) const override {
    const auto row_bytes = static_cast<uint64_t>(row_bytes_);
    HALOD_ASSERT(byte_offset % row_bytes == 0 && out.size() % row_bytes == 0);
    const auto first = static_cast<int64_t>(byte_offset / row_bytes);
    const auto end = first + static_cast<int64_t>(out.size() / row_bytes);
    if (first == end) return {};
    const int64_t first_head = first / head_dim_, end_head = (end - 1) / head_dim_ + 1;
    // Whole heads, because their rows may be spread over the file.
    std::vector<std::byte> heads(static_cast<size_t>((end_head - first_head) * head_dim_) * row_bytes);
    if (auto read = source().read(static_cast<uint64_t>(first_head * head_dim_) * row_bytes, heads); !read)
      return read;
    for (int64_t row = first; row < end; ++row) {
      const int64_t in_head = row % head_dim_, from = in_head % 2 * (head_dim_ / 2) + in_head / 2;
      const auto at = static_cast<size_t>(row - in_head - first_head * head_dim_ + from) * row_bytes;
      std::memcpy(out.data() + static_cast<size_t>(row - first) * row_bytes, heads.data() + at, row_bytes);
    }
    return {};
  }
  void prefetch(uint64_t byte_offset, uint64_t n_bytes) const override {
    source().prefetch(byte_offset, n_bytes);
  }

 private:
  int64_t head_dim_, row_bytes_;
};

class ChosenRows final : public WrappedSource {
 public:
  ChosenRows(std::unique_ptr<const TensorSource> matrices, Format format, std::vector<int64_t> shape,
             int64_t n_rows, std::vector<int64_t> chosen, int64_t row_bytes)
      : WrappedSource(std::move(matrices), format, std::move(shape)),
        n_rows_(n_rows),
        chosen_(std::move(chosen)),
        row_bytes_(static_cast<size_t>(row_bytes)) {}

  Result<> read(uint64_t byte_offset, std::span<std::byte> out) const override {
    HALOD_ASSERT(byte_offset % row_bytes_ == 0 && out.size() % row_bytes_ == 0);
    size_t row = static_cast<size_t>(byte_offset / row_bytes_);
    std::vector<std::byte> rows;
    while (!out.empty()) {
      const size_t n = run_length(row % chosen_.size(), out.size() / row_bytes_);
      const uint64_t first = row_in_source(row), last = row_in_source(row + n - 1);
      if (last - first + 1 == n) {
        if (auto read = source().read(first * row_bytes_, out.first(n * row_bytes_)); !read) return read;
      } else {
        rows.resize((last - first + 1) * row_bytes_);
        if (auto read = source().read(first * row_bytes_, rows); !read) return read;
        for (size_t i = 0; i < n; ++i) {
          std::memcpy(out.data() + i * row_bytes_,
                      rows.data() + (row_in_source(row + i) - first) * row_bytes_, row_bytes_);
        }
      }
      row += n;
      out = out.subspan(n * row_bytes_);
    }
    return {};
  }

  void prefetch(uint64_t byte_offset, uint64_t n_bytes) const override {
    const size_t n_all = chosen_.size() * static_cast<size_t>(shape().size() > 1 ? shape().front() : 1);
    const auto row = static_cast<size_t>(byte_offset / row_bytes_);
    if (row < n_all) source().prefetch(row_in_source(row) * row_bytes_, n_bytes);
  }

 private:
  uint64_t row_in_source(size_t row) const {
    return row / chosen_.size() * static_cast<uint64_t>(n_rows_) +
           static_cast<uint64_t>(chosen_[row % chosen_.size()]);
  }
  /// Rows from `idx` on that lie close behind each other, so that one read has them.
  size_t run_length(size_t idx, size_t max) const {
    size_t n = 1;
    while (n < max && idx + n < chosen_.size()) {
      const int64_t step = chosen_[idx + n] - chosen_[idx + n - 1];
      if (step < 1 || step > 2) break;
      ++n;
    }
    return n;
  }

  int64_t n_rows_;
  std::vector<int64_t> chosen_;
  size_t row_bytes_;
};

class FlatSource final : public WrappedSource {
 public:
  FlatSource(std::unique_ptr<const TensorSource> source, Format format, std::vector<int64_t> shape)
      : WrappedSource(std::move(source), format, std::move(shape)) {}
  Result<> read(uint64_t byte_offset, std::span<std::byte> out) const override {
    return source().read(byte_offset, out);
  }
  void prefetch(uint64_t byte_offset, uint64_t n_bytes) const override {
    source().prefetch(byte_offset, n_bytes);
  }
};

class ChangedValues final : public WrappedSource {
 public:
  ChangedValues(std::unique_ptr<const TensorSource> values, Format format_in_file, std::vector<int64_t> shape,
                float (*change)(float))
      : WrappedSource(std::move(values), Format::kF32, std::move(shape)),
        in_file_(traits(format_in_file)),
        change_(change) {}

  Result<> read(uint64_t byte_offset, std::span<std::byte> out) const override {
    HALOD_ASSERT(byte_offset % sizeof(float) == 0 && out.size() % sizeof(float) == 0);
    const size_t n = out.size() / sizeof(float);
    const auto n_bytes = static_cast<size_t>(in_file_.row_bytes(1));
    std::vector<std::byte> bytes(n * n_bytes);
    if (auto read = source().read(byte_offset / sizeof(float) * n_bytes, bytes); !read) return read;
    std::vector<float> values(n);
    in_file_.dequantize(bytes.data(), static_cast<int64_t>(n), values.data());
    std::ranges::transform(values, values.begin(), change_);
    std::memcpy(out.data(), values.data(), out.size());
    return {};
  }
  void prefetch(uint64_t, uint64_t) const override {}

 private:
  const FormatTraits& in_file_;
  float (*change_)(float);
};

}  // namespace

std::unique_ptr<const TensorSource> make_neighbour_pairs(std::unique_ptr<const TensorSource> rows,
                                                         int64_t head_dim) {
  const Format format = rows->format();
  std::vector<int64_t> shape = rows->shape();
  return std::make_unique<NeighbourPairs>(std::move(rows), format, std::move(shape), head_dim);
}

std::unique_ptr<const TensorSource> make_chosen_rows(std::unique_ptr<const TensorSource> matrices,
                                                     std::vector<int64_t> chosen) {
  const Format format = matrices->format();
  std::vector<int64_t> shape = matrices->shape();
  const int64_t n_rows = shape[shape.size() - 2], row_bytes = traits(format).row_bytes(shape.back());
  shape[shape.size() - 2] = static_cast<int64_t>(chosen.size());
  return std::make_unique<ChosenRows>(std::move(matrices), format, std::move(shape), n_rows,
                                      std::move(chosen), row_bytes);
}

std::unique_ptr<const TensorSource> make_chosen_values(std::unique_ptr<const TensorSource> rows,
                                                       std::vector<int64_t> chosen) {
  const Format format = rows->format();
  std::vector<int64_t> shape = rows->shape();
  const int64_t n = shape.back();
  shape.back() = static_cast<int64_t>(chosen.size());
  return std::make_unique<ChosenRows>(std::move(rows), format, std::move(shape), n, std::move(chosen),
                                      traits(format).row_bytes(1));
}

std::unique_ptr<const TensorSource> make_flat(std::unique_ptr<const TensorSource> source) {
  const Format format = source->format();
  std::vector<int64_t> shape = source->shape();
  const int64_t last = shape.back();
  shape.pop_back();
  std::erase(shape, 1);
  shape.push_back(last);
  return std::make_unique<FlatSource>(std::move(source), format, std::move(shape));
}

std::unique_ptr<const TensorSource> make_changed_values(std::unique_ptr<const TensorSource> values,
                                                        float (*change)(float)) {
  const Format format = values->format();
  std::vector<int64_t> shape = values->shape();
  return std::make_unique<ChangedValues>(std::move(values), format, std::move(shape), change);
}

}  // namespace halod

#include "tests/support/random_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace halod::test {

RandomModel::RandomModel(std::string architecture, uint32_t seed, Format matrix_format)
    : architecture_(std::move(architecture)), generator_(seed), matrix_format_(matrix_format) {
  writer_.add_metadata("general.architecture", architecture_);
  writer_.add_metadata("general.name", architecture_ + " of random weights");
}

void RandomModel::set(const std::string& suffix, const MetadataValue& value) {
  writer_.add_metadata(architecture_ + "." + suffix, value);
}

void RandomModel::set_by_layer(const std::string& suffix, std::vector<int64_t> values) {
  set(suffix, MetadataArray(std::move(values)));
}

std::vector<float> RandomModel::normal_values(const std::vector<int64_t>& shape, double mean,
                                              double deviation) {
  int64_t n = 1;
  for (const int64_t extent : shape) n *= extent;
  std::normal_distribution<float> normal(static_cast<float>(mean), static_cast<float>(deviation));
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = normal(generator_);
  return values;
}

void RandomModel::add(const std::string& name, Format format, const std::vector<int64_t>& shape,
                      const std::vector<float>& values) {
  const int64_t cols = shape.back(), n_rows = static_cast<int64_t>(values.size()) / cols,
                row_bytes = traits(format).row_bytes(cols);
  std::vector<std::byte> bytes(static_cast<size_t>(n_rows * row_bytes));
  for (int64_t row = 0; row < n_rows; ++row)
    traits(format).quantize(values.data() + row * cols, cols, bytes.data() + row * row_bytes);
  writer_.add_tensor(name, format, shape);
  tensors_.emplace(name, std::move(bytes));
}

void RandomModel::matrix(const std::string& name, std::vector<int64_t> shape, double gain) {
  const bool is_whole_blocks = shape.back() % traits(matrix_format_).block_elements == 0;
  const auto values = normal_values(shape, 0, gain / std::sqrt(static_cast<double>(shape.back())));
  add(name, is_whole_blocks ? matrix_format_ : Format::kF32, shape, values);
}

void RandomModel::values(const std::string& name, std::vector<int64_t> shape, double mean, double deviation) {
  add(name, Format::kF32, shape, normal_values(shape, mean, deviation));
}

void RandomModel::decay_rates(const std::string& name, std::vector<int64_t> shape, double mean,
                              double deviation) {
  std::vector<float> values = normal_values(shape, mean, deviation);
  for (float& value : values) value = -std::exp(value);
  add(name, Format::kF32, shape, values);
}

void RandomModel::write(const std::filesystem::path& path) const {
  const auto source = [this](const TensorInfo& tensor, int64_t first_row, int64_t, std::span<std::byte> out) {
    const int64_t offset = first_row * traits(tensor.format).row_bytes(tensor.cols());
    std::memcpy(out.data(), tensors_.at(tensor.name).data() + offset, out.size());
  };
  const auto written = writer_.write(path, source, 1);
  if (!written) throw std::runtime_error(written.error().message);
}

RandomModelFile::RandomModelFile(std::string_view family, Format matrix_format, uint32_t seed) {
  const auto families = random_families();
  const auto row = std::ranges::find(families, family, &RandomFamily::name);
  if (row == families.end()) throw std::out_of_range("no random model '" + std::string(family) + "'");
  RandomModel model(std::string(row->architecture), seed, matrix_format);
  row->fill(model);
  model.write(path());
}

}  // namespace halod::test

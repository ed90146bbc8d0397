#include "tests/support/hf_twin.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <stdexcept>

#include "kernels/quant/half.h"

namespace halod::test {
namespace {

constexpr int64_t kGroup = 32;
constexpr int64_t kBlockRows = 32, kBlockCols = 48;

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

std::string encode(const std::vector<float>& values, const std::string& dtype) {
  if (dtype == "F32") return bytes_of(values);
  std::vector<uint16_t> halves(values.size());
  std::ranges::transform(values, halves.begin(), dtype == "BF16" ? f32_to_bf16 : f32_to_f16);
  return bytes_of(halves);
}

float rounded(float value, const std::string& dtype) {
  if (dtype == "BF16") return bf16_to_f32(f32_to_bf16(value));
  return dtype == "F16" ? f16_to_f32(f32_to_f16(value)) : value;
}

/// By the definition: sign, exponent of four bits biased by 7, fraction of three.
double e4m3(int code) {
  const int exponent = code >> 3 & 15, fraction = code & 7;
  const double value = exponent == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, exponent - 10);
  return code & 128 ? -value : value;
}

int nearest_e4m3(double value) {
  // Codes without their sign are in the order of their values; the last one is no number.
  static const std::vector<double> values = [] {
    std::vector<double> all;
    for (int code = 0; code < 127; ++code) all.push_back(e4m3(code));
    return all;
  }();
  const double size = std::abs(value);
  auto above = static_cast<size_t>(std::ranges::lower_bound(values, size) - values.begin());
  above = std::min(above, values.size() - 1);
  const size_t best = above > 0 && size - values[above - 1] < values[above] - size ? above - 1 : above;
  return static_cast<int>(best) + (value < 0 ? 128 : 0);
}

}  // namespace

TwinTensor TwinTensor::chosen(const std::vector<int64_t>& order) const {
  const bool is_vector = shape.size() == 1;
  const auto width = static_cast<std::ptrdiff_t>(is_vector ? 1 : cols());
  TwinTensor made{.shape = shape};
  made.shape[is_vector ? 0 : shape.size() - 2] = static_cast<int64_t>(order.size());
  for (const int64_t row : order) {
    const auto from = values.begin() + row * width;
    made.values.insert(made.values.end(), from, from + width);
  }
  return made;
}

void TwinTensor::append(const TwinTensor& other) {
  values.insert(values.end(), other.values.begin(), other.values.end());
  shape[shape.size() < 2 ? 0 : shape.size() - 2] += other.shape[shape.size() < 2 ? 0 : shape.size() - 2];
}

TwinTensor stacked(const std::vector<TwinTensor>& tensors) {
  TwinTensor made{.shape = tensors.front().shape};
  made.shape.insert(made.shape.begin(), static_cast<int64_t>(tensors.size()));
  for (const TwinTensor& tensor : tensors)
    made.values.insert(made.values.end(), tensor.values.begin(), tensor.values.end());
  return made;
}

TwinTensor HfTwin::random(std::vector<int64_t> shape, float deviation, float mean) {
  std::normal_distribution<float> normal(mean, deviation);
  TwinTensor tensor{.shape = std::move(shape)};
  tensor.values.resize(static_cast<size_t>(
      std::accumulate(tensor.shape.begin(), tensor.shape.end(), int64_t{1}, std::multiplies<>())));
  for (float& value : tensor.values) value = rounded(normal(random_), options_.dtype);
  return tensor;
}

TwinTensor HfTwin::plain_linear(const std::string& module, int64_t rows, int64_t cols, float gain) {
  TwinTensor weights = random({rows, cols}, gain / std::sqrt(static_cast<float>(cols)));
  add_hf(module + ".weight", weights);
  return weights;
}

TwinTensor HfTwin::linear(const std::string& module, int64_t rows, int64_t cols, float gain) {
  if (options_.quantisation == TwinQuantisation::kNone) return plain_linear(module, rows, cols, gain);
  const TwinTensor weights = random({rows, cols}, gain / std::sqrt(static_cast<float>(cols)));
  const bool is_gptq = options_.quantisation == TwinQuantisation::kGptq ||
                       options_.quantisation == TwinQuantisation::kGptqActOrder;
  return is_gptq ? add_gptq(module, weights) : add_fp8(module, weights);
}

TwinTensor HfTwin::add_gptq(const std::string& module, const TwinTensor& weights) {
  const int64_t rows = weights.rows(), cols = weights.cols(), n_groups = cols / kGroup;
  if (rows % 8 != 0 || cols % kGroup != 0) throw std::runtime_error(module + " does not fit groups");
  std::vector<int32_t> g_idx(static_cast<size_t>(cols));
  for (size_t i = 0; i < g_idx.size(); ++i) g_idx[i] = static_cast<int32_t>(i) / static_cast<int32_t>(kGroup);
  if (options_.quantisation == TwinQuantisation::kGptqActOrder) std::ranges::shuffle(g_idx, random_);
  std::vector<uint32_t> words(static_cast<size_t>(cols / 8 * rows)),
      zeros(static_cast<size_t>(n_groups * rows / 8));
  std::vector<uint16_t> scales(static_cast<size_t>(n_groups * rows));
  TwinTensor effective{.shape = weights.shape, .values = weights.values};
  for (int64_t row = 0; row < rows; ++row) {
    for (int32_t group = 0; group < n_groups; ++group) {
      float low = 0, high = 0;
      for (int64_t col = 0; col < cols; ++col) {
        if (g_idx[static_cast<size_t>(col)] != group) continue;
        const float w = weights.values[static_cast<size_t>(row * cols + col)];
        low = std::min(low, w);
        high = std::max(high, w);
      }
      const uint16_t scale_bits = f32_to_f16((high - low) / 15);
      const float scale = f16_to_f32(scale_bits);
      const auto zero = static_cast<int>(std::clamp(std::round(-low / scale), 1.0F, 15.0F));
      scales[static_cast<size_t>(group * rows + row)] = scale_bits;
      // The first version stores one less.
      zeros[static_cast<size_t>(group * rows / 8 + row / 8)] |= static_cast<uint32_t>(zero - 1)
                                                                << 4 * (row % 8);
      for (int64_t col = 0; col < cols; ++col) {
        if (g_idx[static_cast<size_t>(col)] != group) continue;
        const auto at = static_cast<size_t>(row * cols + col);
        const auto code = static_cast<int>(
            std::clamp(std::round(weights.values[at] / scale) + static_cast<float>(zero), 0.0F, 15.0F));
        words[static_cast<size_t>(col / 8 * rows + row)] |= static_cast<uint32_t>(code) << 4 * (col % 8);
        effective.values[at] = scale * static_cast<float>(code - zero);
      }
    }
  }
  add_hf_bytes(module + ".qweight", "I32", {cols / 8, rows}, bytes_of(words));
  add_hf_bytes(module + ".qzeros", "I32", {n_groups, rows / 8}, bytes_of(zeros));
  add_hf_bytes(module + ".scales", "F16", {n_groups, rows}, bytes_of(scales));
  add_hf_bytes(module + ".g_idx", "I32", {cols}, bytes_of(g_idx));
  return effective;
}

TwinTensor HfTwin::add_fp8(const std::string& module, const TwinTensor& weights) {
  const bool is_block = options_.quantisation == TwinQuantisation::kFp8Blocks;
  const int64_t rows = weights.rows(), cols = weights.cols(), block_rows = is_block ? kBlockRows : 1,
                block_cols = is_block ? kBlockCols : cols;
  const int64_t n_down = (rows + block_rows - 1) / block_rows,
                n_across = (cols + block_cols - 1) / block_cols;
  std::vector<float> largest(static_cast<size_t>(n_down * n_across));
  const auto block_of = [&](int64_t row, int64_t col) {
    return static_cast<size_t>(row / block_rows * n_across + col / block_cols);
  };
  for (int64_t i = 0; i < rows * cols; ++i) {
    float& block = largest[block_of(i / cols, i % cols)];
    block = std::max(block, std::abs(weights.values[static_cast<size_t>(i)]));
  }
  TwinTensor effective{.shape = weights.shape};
  std::vector<uint8_t> codes;
  for (int64_t i = 0; i < rows * cols; ++i) {
    const float scale = largest[block_of(i / cols, i % cols)] / 448;
    const int code = nearest_e4m3(weights.values[static_cast<size_t>(i)] / scale);
    codes.push_back(static_cast<uint8_t>(code));
    effective.values.push_back(rounded(static_cast<float>(e4m3(code)) * scale, "BF16"));
  }
  for (float& scale : largest) scale /= 448;
  add_hf_bytes(module + ".weight", "F8_E4M3", weights.shape, bytes_of(codes));
  add_hf_bytes(module + (is_block ? ".weight_scale_inv" : ".weight_scale"), "F32", {n_down, n_across},
               bytes_of(largest));
  return effective;
}

void HfTwin::add_hf(const std::string& name, const TwinTensor& tensor) {
  hf_.add(name, options_.dtype, tensor.shape, encode(tensor.values, options_.dtype));
}

void HfTwin::add_hf_bytes(const std::string& name, const std::string& dtype, std::vector<int64_t> shape,
                          std::string bytes) {
  hf_.add(name, dtype, std::move(shape), std::move(bytes));
}

Format HfTwin::matrix_format() const {
  const bool is_gptq = options_.quantisation == TwinQuantisation::kGptq ||
                       options_.quantisation == TwinQuantisation::kGptqActOrder;
  if (is_gptq || options_.dtype == "F32") return Format::kF32;
  return options_.dtype == "BF16" ? Format::kBF16 : Format::kF16;
}

void HfTwin::add_gguf(const std::string& name, const TwinTensor& tensor, bool is_matrix) {
  const Format format = is_matrix && tensor.shape.size() > 1 ? matrix_format() : Format::kF32;
  add_gguf_bytes(name, format, tensor.shape, encode(tensor.values, std::string(traits(format).name)));
}

void HfTwin::add_gguf_bytes(const std::string& name, Format format, std::vector<int64_t> shape,
                            std::string bytes) {
  gguf_.push_back({name, format, std::move(shape), std::move(bytes)});
}

void HfTwin::add(const std::string& hf_name, const std::string& gguf_name, const TwinTensor& tensor,
                 bool is_matrix) {
  add_hf(hf_name, tensor);
  add_gguf(gguf_name, tensor, is_matrix);
}

std::string HfTwin::quantisation_config() const {
  switch (options_.quantisation) {
    case TwinQuantisation::kNone:
      break;
    case TwinQuantisation::kGptq:
    case TwinQuantisation::kGptqActOrder:
      return fmt::format(R"("quantization_config": {{"quant_method": "gptq", "bits": 4, "group_size": {},
        "desc_act": {}, "sym": false, "checkpoint_format": "gptq"}}, )",
                         kGroup, options_.quantisation == TwinQuantisation::kGptqActOrder);
    case TwinQuantisation::kFp8Blocks:
      return fmt::format(R"("quantization_config": {{"quant_method": "fp8", "fmt": "e4m3",
        "activation_scheme": "dynamic", "weight_block_size": [{}, {}]}}, )",
                         kBlockRows, kBlockCols);
    case TwinQuantisation::kFp8Channels:
      return R"("quantization_config": {"quant_method": "compressed-tensors", "format": "float-quantized",
        "config_groups": {"group_0": {"targets": ["Linear"], "input_activations": {"dynamic": true, "num_bits": 8,
        "type": "float", "strategy": "token"}, "weights": {"num_bits": 8, "type": "float", "strategy": "channel",
        "symmetric": true, "dynamic": false}}}}, )";
  }
  return "";
}

void HfTwin::write(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder / "hf");
  std::string config = config_;
  config.insert(config.find('{') + 1, quantisation_config());
  for (const auto& [from, to] : options_.config_changes) {
    const size_t at = config.find(from);
    if (at == std::string::npos) throw std::runtime_error("config.json has no " + from);
    config.replace(at, from.size(), to);
  }
  write_files({{"config.json", config}, {"model.safetensors", hf_.bytes()}}, folder / "hf");

  GgufWriter writer;
  for (const auto& [key, value] : metadata_) writer.add_metadata(key, value);
  std::map<std::string, const GgufTensor*, std::less<>> by_name;
  for (const GgufTensor& tensor : gguf_) {
    writer.add_tensor(tensor.name, tensor.format, tensor.shape);
    by_name[tensor.name] = &tensor;
  }
  writer
      .write(
          folder / "twin.gguf",
          [&](const TensorInfo& tensor, int64_t first_row, int64_t, std::span<std::byte> out) {
            const auto row_bytes = static_cast<size_t>(traits(tensor.format).row_bytes(tensor.cols()));
            std::memcpy(out.data(),
                        by_name.at(tensor.name)->bytes.data() + static_cast<size_t>(first_row) * row_bytes,
                        out.size());
          },
          1)
      .value();
}

}  // namespace halod::test

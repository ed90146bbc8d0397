// What the kernel checks compute with: arrays on the device, and weights and activations in all their forms.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "kernels/hip/args.h"
#include "kernels/hip/weight_layout.h"
#include "kernels/ops/check_values.h"
#include "kernels/ops/reference.h"
#include "runtime/backend/hip/device.h"

namespace halod::hip {

/// rows[i] += bias, cols values each.
inline void add_to_rows(std::vector<float>& rows, std::span<const float> bias) {
  for (size_t i = 0; i < rows.size(); ++i) rows[i] += bias[i % bias.size()];
}

/// Each expert's own order of its columns.
inline std::vector<int32_t> check_orders(int n_experts, int cols, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<int32_t> orders;
  for (int e = 0; e < n_experts; ++e) {
    const auto first = static_cast<std::ptrdiff_t>(orders.size());
    for (int i = 0; i < cols; ++i) orders.push_back(i);
    for (int i = cols - 1; i > 0; --i)
      std::swap(orders[static_cast<size_t>(first + i)],
                orders[static_cast<size_t>(first) + generator() % static_cast<uint32_t>(i + 1)]);
  }
  return orders;
}

/// gate = activation(gate, up), by the reference.
inline void activate_rows(GatedActivation activation, std::vector<float>& gate,
                          const std::vector<float>& up) {
  const auto n = static_cast<int64_t>(gate.size());
  switch (activation) {
    case GatedActivation::kSwiglu:
      return reference::swiglu({gate.data(), up.data(), n});
    case GatedActivation::kClampedSwiglu:
      return reference::clamped_swiglu({.gate = gate.data(), .up = up.data(), .n = n});
    case GatedActivation::kSquaredRelu:
      return reference::squared_relu({gate.data(), n});
  }
}

/// n values on the device, and a way there and back.
template <class T>
class DeviceArray {
 public:
  DeviceArray(Device& device, int64_t n)
      : device_(device),
        n_(static_cast<size_t>(n)),
        memory_(DeviceMemory::allocate(device, n_ * sizeof(T)).value()),
        staging_(PinnedMemory::allocate(device, n_ * sizeof(T)).value()) {
    device_.fill_with_zeros(memory_.data(), n_ * sizeof(T));
  }
  DeviceArray(Device& device, std::span<const T> values)
      : DeviceArray(device, static_cast<int64_t>(values.size())) {
    write(values);
  }
  DeviceArray(Device& device, const std::vector<T>& values)
      : DeviceArray(device, std::span<const T>(values)) {}

  T* data() const { return memory_.template as<T>(); }
  void write(std::span<const T> values) {
    device_.synchronize();  // the staging may still be read
    std::memcpy(staging_.data(), values.data(), values.size_bytes());
    device_.copy_to_device(memory_.data(), staging_.data(), values.size_bytes());
  }
  std::vector<T> read() {
    device_.copy_to_host(staging_.data(), memory_.data(), n_ * sizeof(T));
    device_.synchronize();
    std::vector<T> values(n_);
    std::memcpy(values.data(), staging_.data(), n_ * sizeof(T));
    return values;
  }

 private:
  Device& device_;
  size_t n_;
  DeviceMemory memory_;
  PinnedMemory staging_;
};

/// One vector per expert, or none.
class CheckBiases {
 public:
  CheckBiases(Device& device, bool are_there, int n_experts, int width, uint32_t seed)
      : width_(static_cast<size_t>(width)),
        values_(are_there ? check_values(int64_t{n_experts} * width, seed) : std::vector<float>()),
        device_values_(device, int64_t{n_experts} * width) {
    if (are_there) device_values_.write(values_);
  }
  const float* data() const { return values_.empty() ? nullptr : device_values_.data(); }
  const float* host_data() const { return values_.empty() ? nullptr : values_.data(); }
  /// rows[i] += the expert's.
  void add_to(std::vector<float>& rows, int expert) const {
    if (!values_.empty())
      add_to_rows(rows, std::span(values_).subspan(static_cast<size_t>(expert) * width_, width_));
  }

 private:
  size_t width_;
  std::vector<float> values_;
  DeviceArray<float> device_values_;
};

/// Random matrices of one format, one per expert: file blocks for the reference, device rows for the kernels.
class CheckWeights {
 public:
  CheckWeights(Device& device, Format format, int n_experts, int rows, int cols, uint32_t seed)
      : format_(format),
        rows_(rows),
        cols_(cols),
        blocks_(encode(n_experts, seed)),
        device_rows_(device, pack(n_experts)) {}

  Format format() const { return format_; }
  WeightRows device_rows() const {
    const auto row_bytes = find_row_layout(format_)->row_bytes(cols_);
    return {.data = device_rows_.data(),
            .expert_bytes = static_cast<uint64_t>(row_bytes * rows_),
            .row_bytes = static_cast<int32_t>(row_bytes),
            .rows = rows_,
            .cols = cols_,
            .format = static_cast<int32_t>(format_)};
  }
  WeightMatrix blocks(int expert) const {
    return {format_, WeightLayout::kRows, blocks_.data() + expert * rows_ * traits(format_).row_bytes(cols_),
            rows_, cols_};
  }
  const std::byte* row_blocks(int row) const {
    return blocks_.data() + row * traits(format_).row_bytes(cols_);
  }

 private:
  std::vector<std::byte> encode(int n_experts, uint32_t seed) const {
    const FormatTraits& format = traits(format_);
    const std::vector<float> values = check_values(int64_t{n_experts} * rows_ * cols_, seed);
    std::vector<std::byte> blocks(static_cast<size_t>(n_experts * rows_ * format.row_bytes(cols_)));
    for (int64_t r = 0; r < int64_t{n_experts} * rows_; ++r)
      format.quantize(values.data() + r * cols_, cols_, blocks.data() + r * format.row_bytes(cols_));
    return blocks;
  }
  std::vector<unsigned char> pack(int n_experts) const {
    const RowLayout& layout = *find_row_layout(format_);
    const int64_t row_bytes = layout.row_bytes(cols_), block_bytes = traits(format_).row_bytes(cols_);
    std::vector<unsigned char> rows(static_cast<size_t>(n_experts * rows_ * row_bytes));
    for (int64_t r = 0; r < int64_t{n_experts} * rows_; ++r)
      layout.pack_row(blocks_.data() + r * block_bytes, cols_,
                      reinterpret_cast<std::byte*>(rows.data()) + r * row_bytes);
    return rows;
  }

  Format format_;
  int rows_, cols_;
  std::vector<std::byte> blocks_;
  DeviceArray<unsigned char> device_rows_;
};

/// Rows of activations on the device, with room up to a multiple of 8 rows as the kernels demand.
class CheckActivations {
 public:
  CheckActivations(Device& device, int n_rows, int cols)
      : n_rows_(n_rows),
        cols_(cols),
        values_(device, padded_rows() * cols),
        codes_(device, padded_rows() * cols),
        groups_(device, padded_rows() * (cols / 32) + 1) {}

  ActivationRows rows() const { return {values_.data(), codes_.data(), groups_.data()}; }
  ActivationResult result() const {
    return {values_.data(), cols_ % 32 == 0 ? codes_.data() : nullptr, groups_.data()};
  }
  std::vector<float> values() { return first_rows(values_.read()); }
  /// What the kernel of a format reads: the values, or what their 8-bit form stands for.
  std::vector<float> values_for(Format format) {
    if (!find_row_layout(format)->needs_codes) return values();
    const std::vector<int8_t> codes = codes_.read();
    const std::vector<ActivationGroup> groups = groups_.read();
    std::vector<float> rounded(codes.size());
    for (size_t i = 0; i < codes.size(); ++i)
      rounded[i] = static_cast<float>(codes[i]) * groups[i / 32].scale;
    return first_rows(std::move(rounded));
  }
  /// The same of its rows with their columns in another order.
  std::vector<float> values_in_order_for(Device& device, Format format, std::span<const int32_t> order) {
    const std::vector<float> from = values();
    std::vector<float> to;
    for (size_t row = 0; row < from.size(); row += static_cast<size_t>(cols_)) {
      for (const int32_t column : order) to.push_back(from[row + static_cast<size_t>(column)]);
    }
    CheckActivations ordered(device, n_rows_, cols_);
    ordered.write(to);
    if (cols_ % 32 == 0) ordered.quantise(device);
    return ordered.values_for(format);
  }
  void write(std::span<const float> values) { values_.write(values); }
  std::vector<int8_t> codes() { return codes_.read(); }
  std::vector<ActivationGroup> groups() { return groups_.read(); }

  /// Rounds the values to 8 bits on the device.
  void quantise(Device& device) {
    launch(device, KernelId::rms_norm, {.x = n_rows_}, rms_norm_shared_bytes(),
           RmsNormArgs{.x = values_.data(), .weight = nullptr, .epsilon = 0, .cols = cols_, .y = result()});
  }

 private:
  int64_t padded_rows() const { return (n_rows_ + 7) / 8 * 8; }
  std::vector<float> first_rows(std::vector<float> values) const {
    values.resize(static_cast<size_t>(n_rows_) * static_cast<size_t>(cols_));
    return values;
  }

  int n_rows_, cols_;
  DeviceArray<float> values_;
  DeviceArray<int8_t> codes_;
  DeviceArray<ActivationGroup> groups_;
};

/// 0 where codes and scales are what the reference makes of the values, else 1.
inline double rounding_error(CheckActivations& rows, int64_t n_rows, int64_t cols) {
  const std::vector<float> values = rows.values();
  const auto n = static_cast<size_t>(n_rows * cols);
  std::vector<int8_t> codes(n);
  std::vector<float> scales(n / 32), scaled_sums(n / 32);
  std::vector<int32_t> negated_sums(n / 16);
  reference::quantize_activations(
      {{values.data(), n_rows, cols}, codes.data(), scales.data(), scaled_sums.data(), negated_sums.data()});
  const std::vector<int8_t> device_codes = rows.codes();
  const std::vector<ActivationGroup> groups = rows.groups();
  for (size_t i = 0; i < n; ++i) {
    if (device_codes[i] != codes[i]) return 1;
  }
  for (size_t g = 0; g < n / 32; ++g) {
    const int32_t first = static_cast<int16_t>(groups[g].sums), second = groups[g].sums >> 16;
    if (groups[g].scale != scales[g] || first != -negated_sums[2 * g] || second != -negated_sums[2 * g + 1])
      return 1;
  }
  return 0;
}

}  // namespace halod::hip

#include "runtime/backend/hip/hip_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>
#include <vector>

#include "kernels/hip/weight_layout.h"

namespace halod::hip {
namespace {

// A copy of 16 MiB takes about as long as a disk of 5 GB/s and 16 cores take to fill the next buffer.
constexpr int64_t kBufferBytes = int64_t{16} << 20;
/// What one thread reads at once: large enough that the calls do not count.
constexpr int64_t kReadBytes = int64_t{1} << 20;

int64_t matrix_rows(const TensorInfo& tensor) {
  return tensor.shape.size() < 2 ? 1 : tensor.shape[tensor.shape.size() - 2];
}
int64_t n_matrices(const TensorInfo& tensor) { return tensor.shape.size() == 3 ? tensor.shape[0] : 1; }

Error unsupported(const Checkpoint& file, const TensorInfo& tensor, std::string_view what) {
  return {ErrorCode::kUnsupported,
          fmt::format("{}: tensor '{}': {}; use `backend: cpu`", file.path().string(), tensor.name, what),
          tensor.name};
}

}  // namespace

HipWeight::HipWeight(const TensorInfo& tensor, DeviceMemory memory, const WeightRows& rows, bool needs_codes,
                     HipColumnOrder column_order)
    : PlacedWeight(matrix_rows(tensor), tensor.cols(), n_matrices(tensor), memory.size()),
      memory_(std::move(memory)),
      rows_(rows),
      needs_codes_(needs_codes),
      column_order_(std::move(column_order)) {}

Result<> WeightUploader::make_room(uint64_t n_bytes) {
  for (PinnedMemory& buffer : buffers_) {
    if (buffer.size() >= n_bytes) continue;
    auto larger = PinnedMemory::allocate(device_, n_bytes);
    if (!larger) return larger.error();
    device_.synchronize();  // the old one may still be copied from
    buffer = std::move(*larger);
  }
  return {};
}

void WeightUploader::release() {
  device_.synchronize();
  for (PinnedMemory& buffer : buffers_) buffer = {};
  latest_orders_.clear();  // the weights keep what they need
}

Result<std::unique_ptr<PlacedWeight>> WeightUploader::place(const Checkpoint& file, const TensorInfo& tensor,
                                                            const std::function<void(uint64_t)>& on_bytes) {
  const RowLayout* layout = find_row_layout(tensor.format);
  if (layout == nullptr)
    return unsupported(file, tensor, fmt::format("no GPU kernel multiplies {}", traits(tensor.format).name));
  const int64_t cols = tensor.cols(), rows = matrix_rows(tensor), n_experts = n_matrices(tensor);
  if (n_experts > 1 &&
      router_shared_bytes(static_cast<int>(cols), static_cast<int>(n_experts)) > kMaxSharedBytes)
    return unsupported(
        file, tensor,
        fmt::format("the GPU's router holds no rows of {} columns for {} experts", cols, n_experts));
  const int64_t row_bytes = layout->row_bytes(cols), block_bytes = traits(tensor.format).row_bytes(cols);
  const int64_t n_rows = n_experts * rows;
  auto memory = DeviceMemory::allocate(device_, static_cast<uint64_t>(n_rows * row_bytes));
  if (!memory) return memory.error();

  auto column_order = place_order(file, tensor);
  if (!column_order) return column_order.error();
  const int64_t rows_per_buffer = std::clamp<int64_t>(kBufferBytes / row_bytes, 1, n_rows);
  const int64_t rows_per_piece = std::max<int64_t>(1, kReadBytes / block_bytes);
  if (auto made = make_room(static_cast<uint64_t>(rows_per_buffer * row_bytes)); !made) return made.error();
  std::mutex mutex;  // guards first_error and the callback
  std::optional<Error> first_error;
  for (int64_t first = 0; first < n_rows; first += rows_per_buffer) {
    const int64_t n = std::min(rows_per_buffer, n_rows - first);
    std::byte* buffer = next_buffer();
    threads_.parallel_for(n, rows_per_piece, [&](int64_t begin, int64_t end, int) {
      std::vector<std::byte> blocks(static_cast<size_t>((end - begin) * block_bytes));
      const Result<> read = file.read(tensor, static_cast<uint64_t>((first + begin) * block_bytes), blocks);
      for (int64_t row = begin; read && row < end; ++row)
        layout->pack_row(blocks.data() + (row - begin) * block_bytes, cols, buffer + row * row_bytes);
      std::lock_guard lock(mutex);
      if (!read && !first_error) first_error = read.error();
      if (on_bytes) on_bytes(blocks.size());
    });
    // The copy of the buffer before went on meanwhile. It must be done before that buffer is filled again,
    // which is next.
    device_.synchronize();
    if (first_error) return *first_error;
    device_.copy_to_device(memory->data() + first * row_bytes, buffer, static_cast<uint64_t>(n * row_bytes));
  }
  const WeightRows device_rows{.data = memory->data(),
                               .expert_bytes = static_cast<uint64_t>(rows * row_bytes),
                               .row_bytes = static_cast<int32_t>(row_bytes),
                               .rows = static_cast<int32_t>(rows),
                               .cols = static_cast<int32_t>(cols),
                               .format = static_cast<int32_t>(tensor.format)};
  return std::unique_ptr<PlacedWeight>(std::make_unique<HipWeight>(
      tensor, std::move(*memory), device_rows, layout->needs_codes, std::move(*column_order)));
}

Result<HipColumnOrder> WeightUploader::place_order(const Checkpoint& file, const TensorInfo& tensor) {
  auto order = orders_.read(file, tensor);
  if (!order) return order.error();
  if (!*order) return HipColumnOrder();
  // Weights that read the same inputs share one, and a launch shows by that that it may take them together.
  for (const PlacedOrder& known : latest_orders_) {
    if (known.order == *order) return known.on_device;
  }
  auto memory = copy_to_device(std::as_bytes(std::span(**order)));
  if (!memory) return memory.error();
  constexpr size_t kLatest = 8;  // as ColumnOrders
  if (latest_orders_.size() == kLatest) latest_orders_.erase(latest_orders_.begin());
  latest_orders_.push_back({*order, std::make_shared<const DeviceMemory>(std::move(*memory))});
  return latest_orders_.back().on_device;
}

Result<DeviceMemory> WeightUploader::copy_to_device(std::span<const std::byte> bytes) {
  auto memory = DeviceMemory::allocate(device_, bytes.size());
  if (!memory) return memory.error();
  if (auto made = make_room(bytes.size()); !made) return made.error();
  std::byte* buffer = next_buffer();
  std::memcpy(buffer, bytes.data(), bytes.size());
  device_.synchronize();  // as above
  device_.copy_to_device(memory->data(), buffer, bytes.size());
  return std::move(*memory);
}

Result<std::unique_ptr<PlacedVector>> WeightUploader::place(std::span<const float> values) {
  auto memory = copy_to_device(std::as_bytes(values));
  if (!memory) return memory.error();
  return std::unique_ptr<PlacedVector>(
      std::make_unique<HipVector>(std::move(*memory), static_cast<int64_t>(values.size())));
}

}  // namespace halod::hip

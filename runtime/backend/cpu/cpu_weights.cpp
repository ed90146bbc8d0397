#include "runtime/backend/cpu/cpu_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <vector>

#include "kernels/cpu/tile_layout.h"

namespace halod {
namespace {

// Large enough that reading dominates the calls, small enough that it stays in the second-level cache while
// it is packed.
constexpr int64_t kPieceBytes = 512 << 10;
// How far ahead of the pieces the disk works. It must not wait while they are packed; 64 MiB hide 10 ms even
// at 6 GB/s.
constexpr uint64_t kReadAheadBytes = 64 << 20;

/// One expert's rows [first, first + n) of a tensor on their way into memory.
struct Piece {
  int64_t expert_idx;
  int64_t first_row;
  int64_t n_rows;
};

std::vector<Piece> cut_into_pieces(int64_t n_experts, int64_t rows, int64_t row_bytes) {
  const int64_t rows_per_piece =
      std::max<int64_t>(kTileRows, kPieceBytes / row_bytes / kTileRows * kTileRows);
  std::vector<Piece> pieces;
  for (int64_t expert_idx = 0; expert_idx < n_experts; ++expert_idx) {
    for (int64_t row = 0; row < rows; row += rows_per_piece) {
      pieces.push_back({expert_idx, row, std::min(rows_per_piece, rows - row)});
    }
  }
  return pieces;
}

}  // namespace

int64_t CpuWeight::n_rows(const TensorInfo& tensor) {
  return tensor.shape.size() < 2 ? 1 : tensor.shape[tensor.shape.size() - 2];
}

int64_t CpuWeight::n_matrices(const TensorInfo& tensor) {
  return tensor.shape.size() == 3 ? tensor.shape[0] : 1;
}

CpuWeight::CpuWeight(const TensorInfo& tensor, const MatmulChoice& choice, std::shared_ptr<std::byte> data,
                     int64_t expert_bytes, ColumnOrder column_order)
    : PlacedWeight(n_rows(tensor), tensor.cols(), n_matrices(tensor),
                   static_cast<uint64_t>(n_matrices(tensor) * expert_bytes)),
      format_(tensor.format),
      choice_(&choice),
      data_(std::move(data)),
      expert_bytes_(expert_bytes),
      column_order_(std::move(column_order)) {}

Result<std::unique_ptr<PlacedWeight>> CpuWeight::place(const Checkpoint& file, const TensorInfo& tensor,
                                                       const MatmulChoice* choice, ThreadPool& threads,
                                                       MappedArena& arena, ColumnOrders& orders,
                                                       const std::function<void(uint64_t)>& on_bytes) {
  const FormatTraits& format = traits(tensor.format);
  const int64_t cols = tensor.cols(), rows = n_rows(tensor), n_experts = n_matrices(tensor);
  if (choice == nullptr) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("{}: tensor '{}': no CPU kernel multiplies {} rows of {} values",
                             file.path().string(), tensor.name, format.name, cols),
                 tensor.name};
  }
  const bool tiles = choice->placed->layout == WeightLayout::kTiles16;
  const TileLayout* layout = tiles ? find_tile_layout(tensor.format) : nullptr;
  const int64_t row_bytes = format.row_bytes(cols);
  const int64_t expert_bytes = tiles ? layout->matrix_bytes(rows, cols) : rows * row_bytes;
  auto data = arena.allocate(static_cast<size_t>(n_experts * expert_bytes));
  if (!data) return data.error();

  auto column_order = orders.read(file, tensor);
  if (!column_order) return column_order.error();
  const std::vector<Piece> pieces = cut_into_pieces(n_experts, rows, row_bytes);
  std::mutex mutex;  // guards first_error and the callback
  std::optional<Error> first_error;
  threads.parallel_for(static_cast<int64_t>(pieces.size()), 1, [&](int64_t begin, int64_t end, int) {
    std::vector<std::byte> staging;
    for (int64_t i = begin; i < end; ++i) {
      const Piece& piece = pieces[static_cast<size_t>(i)];
      const size_t n_bytes = static_cast<size_t>(piece.n_rows * row_bytes);
      std::byte* expert = data->get() + piece.expert_idx * expert_bytes;
      std::byte* target = expert + piece.first_row * row_bytes;
      if (tiles) {
        staging.resize(n_bytes);
        target = staging.data();
      }
      const uint64_t offset = static_cast<uint64_t>((piece.expert_idx * rows + piece.first_row) * row_bytes);
      file.prefetch(tensor, offset + kReadAheadBytes, n_bytes);
      const Result<> read = file.read(tensor, offset, {target, n_bytes});
      if (tiles && read) {
        for (int64_t row = 0; row < piece.n_rows; row += kTileRows) {
          layout->pack(staging.data() + row * row_bytes, row_bytes, std::min(kTileRows, piece.n_rows - row),
                       cols, expert + (piece.first_row + row) / kTileRows * layout->tile_bytes(cols));
        }
      }
      std::lock_guard lock(mutex);
      if (!read && !first_error) first_error = read.error();
      if (on_bytes) on_bytes(n_bytes);
    }
  });
  if (first_error) return *first_error;
  return std::unique_ptr<PlacedWeight>(
      new CpuWeight(tensor, *choice, std::move(*data), expert_bytes, std::move(*column_order)));
}

void CpuWeight::expand_row(int64_t row, float* out) const {
  HALOD_ASSERT(row >= 0 && row < rows());
  const FormatTraits& format = traits(format_);
  if (choice_->placed->layout == WeightLayout::kRows) {
    format.dequantize(data_.get() + row * format.row_bytes(cols()), cols(), out);
  } else {
    const TileLayout& layout = *find_tile_layout(format_);
    std::vector<std::byte> blocks(static_cast<size_t>(format.row_bytes(cols())));
    layout.unpack_row(data_.get() + row / kTileRows * layout.tile_bytes(cols()), row % kTileRows, cols(),
                      blocks.data());
    format.dequantize(blocks.data(), cols(), out);
  }
  const std::span<const int32_t> order = column_order(0);
  const std::vector<float> as_placed(out, out + order.size());
  for (size_t i = 0; i < order.size(); ++i) out[order[i]] = as_placed[i];
}

}  // namespace halod

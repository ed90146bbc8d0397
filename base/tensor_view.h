// A borrowed, row-major, possibly row-strided array. Owns nothing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "base/error.h"

namespace halod {

/// Rank-2 view: `rows` x `cols`, `row_stride` elements from one row to the next.
/// The memory must outlive the view. Thread: as the memory.
template <class T>
struct MatrixView {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;

  MatrixView() = default;
  MatrixView(T* data_, int64_t rows_, int64_t cols_) : MatrixView(data_, rows_, cols_, cols_) {}
  MatrixView(T* data_, int64_t rows_, int64_t cols_, int64_t row_stride_)
      : data(data_), rows(rows_), cols(cols_), row_stride(row_stride_) {}
  /// A mutable view converts to a read-only one.
  operator MatrixView<const T>() const requires(!std::is_const_v<T>) {
    return {data, rows, cols, row_stride};
  }

  T* row_data(int64_t row_idx) const { return data + row_idx * row_stride; }
  std::span<T> row(int64_t row_idx) const { return {row_data(row_idx), static_cast<size_t>(cols)}; }
  T& operator()(int64_t row_idx, int64_t col_idx) const { return row_data(row_idx)[col_idx]; }
  /// Rows [first, first + n).
  MatrixView rows_at(int64_t first, int64_t n) const {
    HALOD_ASSERT(first >= 0 && n >= 0 && first + n <= rows);
    return {row_data(first), n, cols, row_stride};
  }
  /// Columns [first, first + n) of every row.
  MatrixView cols_at(int64_t first, int64_t n) const {
    HALOD_ASSERT(first >= 0 && n >= 0 && first + n <= cols);
    return {data + first, rows, n, row_stride};
  }
};

}  // namespace halod

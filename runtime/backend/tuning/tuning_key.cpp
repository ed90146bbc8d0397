#include "runtime/backend/tuning/tuning_key.h"

#include <fmt/format.h>

#include <bit>

namespace halod {

ShapeClass shape_class(Format format, int64_t rows, int64_t cols, bool experts, int n_threads) {
  return {.format = format,
          .cols = cols,
          .rows = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(rows))),
          .experts = experts,
          .n_threads = n_threads};
}

TuningKey tuning_key(const ShapeClass& shape, size_t tokens_class) {
  return {fmt::format("{}_{}", shape.experts ? "MatmulExperts" : "Matmul", traits(shape.format).name),
          fmt::format("cols_{}_rows_{}_tokens_{}_threads_{}", shape.cols, shape.rows,
                      kTokensClasses[tokens_class].name, shape.n_threads)};
}

}  // namespace halod
